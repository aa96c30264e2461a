// SPDX-License-Identifier: BSD-2-Clause
/*
 * Calls of one process by another, as the ledger has them (reference.h): counted by name, ends and status;
 * or, of those with an id, as trees. Each process appends what it did to one unlinked regular file, record by
 * record, which is no communication that a trace would show.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reference.h"

static FILE *file;

struct calls {
	struct reference_call *list;
	size_t count;
};

int reference_open_calls(struct reference_run *run)
{
	file = tmpfile();
	if (!file || fcntl(fileno(file), F_SETFL, O_APPEND | O_RDWR))
		return reference_failed(run, "cannot make a temporary file");
	return 0;
}

void reference_close_calls(void)
{
	if (file)
		fclose(file);
	file = NULL;
}

struct reference_call reference_calling(const char *name, pid_t to)
{
	struct reference_call call = {
		.from = getpid(), .to = to, .from_tid = gettid(), .start = reference_now()
	};
	snprintf(call.name, sizeof(call.name), "%s", name);
	return call;
}

int reference_called(struct reference_run *run, struct reference_call *call, const char *status)
{
	call->end = reference_now();
	snprintf(call->status, sizeof(call->status), "%s", status ? status : "");
	if (write(fileno(file), call, sizeof(*call)) != (ssize_t)sizeof(*call))
		return reference_failed(run, "cannot write down a call");
	return 0;
}

static int read_calls(struct reference_run *run, struct calls *calls)
{
	struct stat st;
	if (fstat(fileno(file), &st))
		return reference_failed(run, "calls");
	size_t size = (size_t)st.st_size;
	*calls = (struct calls){ malloc(size ? size : 1), size / sizeof(*calls->list) };
	if (!calls->list || pread(fileno(file), calls->list, size, 0) != (ssize_t)size)
		return reference_failed(run, "calls");
	return 0;
}

static int compare_numbers(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

/* Children of one parent in the order of their starts; those that are only counted so that equal ones are
 * beside each other. */
static int in_order(const void *one, const void *other)
{
	const struct reference_call *a = one, *b = other;
	int order = compare_numbers(a->parent, b->parent);
	if (!order)
		order = compare_numbers(!!a->id, !!b->id);
	if (!order && a->id)
		return compare_numbers(a->start, b->start);
	if (!order)
		order = strcmp(a->name, b->name);
	if (!order)
		order = strcmp(a->status, b->status);
	if (!order)
		order = compare_numbers(a->kind, b->kind);
	if (!order)
		order = compare_numbers((uint64_t)a->from << 32 | (uint32_t)a->to,
					(uint64_t)b->from << 32 | (uint32_t)b->to);
	return order;
}

static void print_counted(FILE *f, const struct calls *calls)
{
	static const char *const kinds[] = { "call", "oneway", "signal" };
	const char *before = "";
	fprintf(f, ",\n \"calls\": [");
	for (size_t i = 0, same; i < calls->count && !calls->list[i].id; i += same) {
		const struct reference_call *c = &calls->list[i];
		for (same = 1; i + same < calls->count && !in_order(c, c + same); same++)
			;
		fprintf(f,
			"%s\n  {\"kind\": \"%s\", \"name\": \"%s\", \"src_pid\": %d, \"dst_pid\": %d, "
			"\"status\": \"%s\", \"count\": %zu}",
			before, kinds[c->kind], c->name, c->from, c->to, c->status, same);
		before = ",";
	}
	fprintf(f, "]");
}

/* Where the calls of this parent begin. */
static size_t first_child(const struct calls *calls, uint64_t parent)
{
	size_t low = 0, high = calls->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (calls->list[middle].parent < parent)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Trees are a few calls deep. */
static void print_children(FILE *f, const struct calls *calls, uint64_t parent, const char *indent) // NOLINT
{
	const char *before = "";
	for (size_t i = first_child(calls, parent); i < calls->count && calls->list[i].parent == parent;
	     i++) {
		const struct reference_call *c = &calls->list[i];
		if (!c->id)
			continue;
		fprintf(f,
			"%s%s{\"name\": \"%s\", \"src_pid\": %d, \"src_tid\": %d, \"dst_pid\": %d, "
			"\"dst_tid\": %d, \"answered_tid\": %d, \"start_ns\": %lu, \"end_ns\": %lu, "
			"\"children\": [",
			before, indent, c->name, c->from, c->from_tid, c->to, c->to_tid, c->answered_tid,
			(unsigned long)c->start, (unsigned long)c->end);
		print_children(f, calls, c->id, "");
		fprintf(f, "]}");
		before = ", ";
	}
}

int reference_print_calls(struct reference_run *run, FILE *f)
{
	struct calls calls;
	int failed = read_calls(run, &calls);
	if (!failed && calls.count) {
		qsort(calls.list, calls.count, sizeof(*calls.list), in_order);
		print_counted(f, &calls);
	}
	if (!failed && calls.count && calls.list[calls.count - 1].id) {
		fprintf(f, ",\n \"trees\": [");
		print_children(f, &calls, 0, "\n  ");
		fprintf(f, "]");
	}
	free(calls.list);
	return failed;
}
