/* SPDX-License-Identifier: BSD-2-Clause */
/* The comparison of all reference programs: what textbooks say in words, and what is measured here. */
#ifndef IPC_COMPARE_H
#define IPC_COMPARE_H

#include "options.h"

/* Measures all and writes the tables, or all in one for a program. Returns the exit status. */
int compare(enum output_format format);

#endif
