/* SPDX-License-Identifier: BSD-2-Clause */
/* The probes at libc's semaphores and locks (--uprobes), and what their programs (locks.h) have counted. */
#ifndef IPC_BPF_PROBES_H
#define IPC_BPF_PROBES_H

#include <stdbool.h>

struct bpf_program;
struct collector;
struct probes;

/* Before a program is loaded: `together`: the kernel has links to many functions (struct
 * bpf_uprobe_multi_link). */
void probes_choose(struct bpf_program *program, bool together);

/* Attaches the two programs to the beginnings and ends of the functions, in all processes that have the
 * recorder's libc. Returns 0 or -errno. The caller ends it with probes_free(), which takes NULL. */
int probes_attach(struct probes **out, const struct bpf_program *begins, const struct bpf_program *ends,
		  bool together);

/* Takes the probes away. What was counted can still be told. */
void probes_detach(struct probes *p);
void probes_free(struct probes *p);

/* Gives the collector what was counted since the last time: each second, and at the end `all`. The maps are
 * lock_counts and lock_slots. */
void probes_tell(struct probes *p, struct collector *c, int counts, int slots, bool all);

#endif
