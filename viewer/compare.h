/* SPDX-License-Identifier: BSD-2-Clause */
/* The comparison of all reference programs: what textbooks say in words, and what is measured here. */
#ifndef IPC_COMPARE_H
#define IPC_COMPARE_H

#include <stdbool.h>

/* Measures all and writes the tables, or one array. Returns the exit status. */
int compare(bool json);

#endif
