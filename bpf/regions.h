/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shared mappings of the processes that the eBPF source sees, from its raw records (raw.h) in the order
 * of the ring; and the events that come of them, as common/event.h describes.
 */
#ifndef IPC_BPF_REGIONS_H
#define IPC_BPF_REGIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "raw.h"

struct collector;
struct regions;

/* NULL: out of memory. Freed by regions_free(), which takes NULL. */
struct regions *regions_new(void);
void regions_free(struct regions *rs);

/* Takes a raw record and gives the collector the events it makes. Without memory the table gets incomplete,
 * and `many-maps` says so. */
void regions_raw(struct regions *rs, struct collector *c, const struct raw *raw);

/* Gives the collector an event of a futex, whose object is named by its address and whose arg0 has the image
 * in its high half, under the word's own object, which is defined before. One in private memory is left out.
 */
void regions_futex(struct regions *rs, struct collector *c, const struct ipc_event *event);

/* The object of the word at this address of an image's memory, defined; 0: it is not shared (any more). */
uint64_t regions_word(struct regions *rs, struct collector *c, uint32_t image, uint64_t address);

/* Whether any memory of the image is known. */
bool regions_has(const struct regions *rs, uint32_t image);

/* The image has ended. */
void regions_gone(struct regions *rs, uint32_t image);

#endif
