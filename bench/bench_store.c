// SPDX-License-Identifier: BSD-2-Clause
/*
 * How fast the store takes events with their links, and how many bytes of file an event costs: 64 channels in
 * turn, a send and the receive that takes it, one edge each. Times advance as of a busy machine, so that
 *their size in the file is real. Prints both figures. Every UNMATCHED-th send is never received: the store
 *holds such a row, and all behind it, for a while.
 *
 *	bench_store FILE [EVENTS [UNMATCHED]]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "calls.h"
#include "store.h"

enum { CHANNELS = 64, COMMIT_ROWS = 10000 };

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* Two processes, and on each channel one lane of each. */
static void lanes(struct store *s, uint32_t lane[CHANNELS][2])
{
	for (unsigned int id = 1; id <= 2; id++) {
		store_process(s, &(struct store_process){ .id = id, .pid = id, .exit_status = -1 });
		store_thread(s, &(struct store_thread){ .id = id, .process_id = id, .tid = id });
	}
	for (unsigned int i = 0; i < CHANNELS; i++) {
		store_channel(s, &(struct store_channel){ .id = i + 1, .mechanism = IPC_MECH_pipe });
		for (unsigned int end = 0; end < 2; end++) {
			uint32_t id = 2 * i + end + 1;

			store_endpoint(s, &(struct store_endpoint){ id, i + 1, end + 1, .role = "both" });
			lane[i][end] = store_lane(
				s, &(struct store_lane){ .thread_id = end + 1,
							 .endpoint_id = id,
							 .fd = 3,
							 .call = end ? IPC_CALL_read : IPC_CALL_write,
							 .verb = end ? IPC_VERB_recv : IPC_VERB_send,
							 .source = "shim" });
		}
	}
}

static int feed(struct store *s, uint64_t events, uint64_t unmatched)
{
	uint32_t lane[CHANNELS][2];
	uint64_t now = 1000000000;
	int err = 0;

	lanes(s, lane);
	for (uint64_t i = 0; i < events / 2 && !err; i++) {
		const uint32_t *ends = lane[i % CHANNELS];
		int64_t bytes = 1 + i % 200;
		uint64_t send, recv;

		send = store_event(s, &(struct store_event){ now, 300 + i % 1000, ends[0], bytes }, true);
		recv = store_event(s, &(struct store_event){ now + 200, 900 + i % 5000, ends[1], bytes },
				   false);
		if (!unmatched || i % unmatched)
			store_link(s, send, recv, bytes, true);
		now += 700;
		if (store_pending(s) >= COMMIT_ROWS)
			err = store_commit(s, now);
	}
	return err;
}

int main(int argc, char **argv)
{
	uint64_t events = argc > 2 ? strtoull(argv[2], NULL, 0) : 10000000;
	uint64_t unmatched = argc > 3 ? strtoull(argv[3], NULL, 0) : 0;
	struct store *s;
	struct stat st;
	double start, fed;
	int err;

	if (argc < 2) {
		fprintf(stderr, "usage: bench_store FILE [EVENTS [UNMATCHED]]\n");
		return 2;
	}
	remove(argv[1]);
	start = seconds();
	err = store_open(&s, argv[1], 1000000000);
	if (!err)
		err = feed(s, events, unmatched);
	fed = seconds();
	if (!err)
		err = store_close(s);
	if (err || stat(argv[1], &st)) {
		fprintf(stderr, "bench_store: %s: %s\n", argv[1], strerror(-err));
		return 1;
	}
	printf("%.2f million events/s, %.2f with the close, %.1f bytes/event\n", events / (fed - start) / 1e6,
	       events / (seconds() - start) / 1e6, (double)st.st_size / events);
	return 0;
}
