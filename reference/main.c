// SPDX-License-Identifier: BSD-2-Clause
/* The reference programs as a program of their own: NAME [ARG...], as `ipctrace reference` takes them. */
#include <stdio.h>

#include "reference.h"

int main(int argc, char **argv)
{
	const struct reference *r = argc > 1 ? reference_find(argv[1]) : NULL;
	if (r)
		return reference_main(r, argc - 1, argv + 1, NULL);
	for (const struct reference *const *all = references; *all; all++)
		puts((*all)->name);
	return argc > 1 ? 2 : 0;
}
