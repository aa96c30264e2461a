// SPDX-License-Identifier: BSD-2-Clause
/*
 * The source `auto`: the shim; and, where we may, eBPF for the programs that the shim cannot enter. Its
 * programs are loaded and attached when the first of these is about to be executed, since as long as they are
 * they cost every process of the machine something. Both sources feed one collector.
 *
 * Each process is recorded by one of the two: eBPF follows the thread that executes such a program from that
 * exec on, and what that program starts, into whose environment nobody puts the shim.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "assistant.h"
#include "loader.h"
#include "source.h"

enum { LINE = 512 };

struct source {
	struct source *shim;
	struct selection what;
	struct source_settings settings;
	struct source *bpf;   /* once it was needed */
	_Atomic bool has_bpf; /* set before its first record is made */
	bool may;	      /* eBPF, as far as can be told without trying */
	char error[LINE];     /* why it did not work after all */
	_Atomic bool has_error;
	struct assistant assistant;
};

/* In the main thread before there is another, or in the assistant. */
static int load(struct source *s)
{
	if (s->bpf)
		return 0;
	int err = s->may ? source_bpf.open(&s->bpf, &s->settings, s->error, sizeof(s->error)) : -EPERM;
	if (err) {
		s->may = false;
		atomic_store(&s->has_error, *s->error);
		return err;
	}
	atomic_store(&s->has_bpf, true);
	return 0;
}

static bool answer(void *context, const struct asked *asked)
{
	struct source *s = context;

	if (load(s)) {
		assistant_resign(&s->assistant);
		return false;
	}
	return !bpf_follow(s->bpf, asked->pid_ns, asked->tid,
			   asked->what == ARENA_ASK_FOLLOW ? asked->image : 0);
}

static int auto_open(struct source **out, const struct source_settings *settings, char *error,
		     size_t error_size)
{
	char reason[LINE];
	struct source *s = calloc(1, sizeof(*s));

	if (!s) {
		snprintf(error, error_size, "out of memory");
		return -ENOMEM;
	}
	int err = source_shim.open(&s->shim, settings, error, error_size);
	if (err) {
		free(s);
		return err;
	}
	s->what = *settings->what;
	s->settings = *settings;
	s->settings.what = &s->what;
	s->may = !bpf_check(reason, sizeof(reason));
	*out = s;
	return 0;
}

static void auto_sync(struct source *s, unsigned int mode)
{
	source_shim.sync(s->shim, mode);
}

static int auto_sample(struct source *s, unsigned int ms, char *error, size_t error_size)
{
	return source_shim.sample(s->shim, ms, error, error_size);
}

/* Without eBPF, and without the thread, it is the shim that records. */
static int auto_attach(struct source *s, pid_t child, enum ipc_reason *outside)
{
	if (*outside != IPC_REASON_none && !load(s))
		source_bpf.attach(s->bpf, child, outside);
	if (s->may)
		assistant_start(&s->assistant, shim_arena(s->shim), answer, s);
	return 0;
}

static char **auto_environment(struct source *s, char **envp)
{
	return source_shim.environment(s->shim, envp);
}

/* The shim first: what eBPF tells while it is not there yet for us ends after the shim's watermark. */
static long auto_poll(struct source *s, struct collector *c, bool end)
{
	if (end)
		assistant_stop(&s->assistant);
	long records = source_shim.poll(s->shim, c, end);
	long more = atomic_load(&s->has_bpf) ? source_bpf.poll(s->bpf, c, end) : 0;
	if (end && atomic_load(&s->has_error))
		collector_meta(c, "ebpf_error", s->error);
	return records < 0 ? records : more < 0 ? more : records + more;
}

static struct arena_file *auto_arena(struct source *s)
{
	return shim_arena(s->shim);
}

static void auto_close(struct source *s)
{
	assistant_stop(&s->assistant);
	if (s->bpf)
		source_bpf.close(s->bpf);
	source_shim.close(s->shim);
	free(s);
}

const struct source_ops source_auto = {
	.name = "auto",
	.open = auto_open,
	.sync = auto_sync,
	.sample = auto_sample,
	.attach = auto_attach,
	.environment = auto_environment,
	.poll = auto_poll,
	.arena = auto_arena,
	.close = auto_close,
};
