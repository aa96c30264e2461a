// SPDX-License-Identifier: BSD-2-Clause
/* Into a store in memory: nothing crashes, and the tables fit together whatever came. */
#include "records.h"
#include "../unit/sound.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool begun;
	struct collector *c;
	if (!begun)
		begun = !atexit(fake_free);
	if (collector_open(&c, "x"))
		abort();
	fake.pending = 1 << 20;
	if (take_orders(c, data, size) || !sums_are_sound() || !ends_are_sound() || !edges_are_sound() ||
	    !protocols_are_sound())
		abort();
	return 0;
}
