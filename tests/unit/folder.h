/* SPDX-License-Identifier: BSD-2-Clause */
/* A folder of the test's own, with room for one trace. */
#ifndef TEST_FOLDER_H
#define TEST_FOLDER_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/ipctrace-unit.XXXXXX";
static char path[64]; /* the trace */

/* Of a group of tests, as cmocka calls it. Others may look into the folder. */
static inline int make_dir(void **state)
{
	(void)state;
	if (!mkdtemp(dir) || chmod(dir, 0755))
		return -1;
	snprintf(path, sizeof(path), "%s/t.db", dir);
	return 0;
}

static inline int remove_dir(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(dir);
}

#endif
