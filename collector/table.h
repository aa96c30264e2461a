/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An open-addressing hash table from 64-bit keys (never 0) to pointers (never NULL). Keys that do not fit
 * into 64 bits are hashed by the caller, who chains what collides.
 */
#ifndef IPC_TABLE_H
#define IPC_TABLE_H

#include <stdint.h>
#include <stdlib.h>

struct table_slot {
	uint64_t key;
	void *value;
};

struct table {
	struct table_slot *slots;
	uint32_t used, mask; /* mask + 1 slots, a power of two; 0: none yet */
};

static inline uint64_t table_mix(uint64_t key)
{
	key ^= key >> 32;
	key *= 0x9e3779b97f4a7c15ULL;
	return key ^ key >> 29;
}

/* Of a key that does not fit into 64 bits; never 0. */
static inline uint64_t table_hash(uint64_t a, uint64_t b)
{
	uint64_t h = table_mix(table_mix(a) * 0xbf58476d1ce4e5b9ULL + b);
	return h ? h : 1;
}

static inline uint64_t table_hash_text(const char *text, size_t length)
{
	uint64_t h = 0xcbf29ce484222325ULL;
	for (size_t i = 0; i < length; i++)
		h = (h ^ (unsigned char)text[i]) * 0x100000001b3ULL;
	return h ? h : 1;
}

static inline struct table_slot *table_find(const struct table *t, uint64_t key)
{
	uint32_t i = table_mix(key) & t->mask;
	while (t->slots[i].key && t->slots[i].key != key)
		i = (i + 1) & t->mask;
	return &t->slots[i];
}

static inline void *table_get(const struct table *t, uint64_t key)
{
	return t->slots ? table_find(t, key)->value : NULL;
}

static inline int table_grow(struct table *t)
{
	struct table old = *t;
	uint32_t size = old.slots ? (old.mask + 1) * 2 : 64;
	struct table_slot *slots = calloc(size, sizeof(*slots));
	if (!slots)
		return -1;
	t->slots = slots;
	t->mask = size - 1;
	for (uint32_t i = 0; old.slots && i <= old.mask; i++)
		if (old.slots[i].key)
			*table_find(t, old.slots[i].key) = old.slots[i];
	free(old.slots);
	return 0;
}

/* The place of the key's value (NULL inside: a new key, which the caller must fill in at once), or NULL: out
 * of memory. Valid until the next call. */
static inline void **table_put(struct table *t, uint64_t key)
{
	if ((!t->slots || (t->used + 1) * 4 > (t->mask + 1) * 3) && table_grow(t))
		return NULL;
	struct table_slot *slot = table_find(t, key);
	t->used += !slot->key;
	slot->key = key;
	return &slot->value;
}

/* Moves what stands behind the gap nearer to its place, so that no search ends too early. */
static inline void table_remove(struct table *t, uint64_t key)
{
	struct table_slot *slot = t->slots ? table_find(t, key) : NULL;
	if (!slot || !slot->key)
		return;
	uint32_t gap = slot - t->slots;
	for (uint32_t i = (gap + 1) & t->mask; t->slots[i].key; i = (i + 1) & t->mask) {
		uint32_t home = table_mix(t->slots[i].key) & t->mask;
		if (((i - home) & t->mask) < ((i - gap) & t->mask))
			continue;
		t->slots[gap] = t->slots[i];
		gap = i;
	}
	t->slots[gap] = (struct table_slot){ 0 };
	t->used--;
}

#endif
