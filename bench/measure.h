/* SPDX-License-Identifier: BSD-2-Clause */
/* What the workloads share: a clock, pinning, order statistics. */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Other work shares the machine: figures of a task that moves between processors mean nothing. */
static inline void pin(int cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		perror("sched_setaffinity");
}

static inline int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* Sorts the values and prints minimum and median. */
static inline void print_values(const char *name, double *values, unsigned int n)
{
	qsort(values, n, sizeof(*values), compare_doubles);
	printf("%s %.1f %.1f\n", name, values[0], values[n / 2]);
}

#endif
