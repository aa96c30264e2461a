// SPDX-License-Identifier: BSD-2-Clause
#include "arch.h"
#include "proc.h"
#include "text.h"
#include "transient.h"

enum { TEXT_MAX = 512 };

void proc_fdinfo_path(char path[PROC_PATH], long fd)
{
	*text_put_number(text_put(path, path + PROC_PATH, "/proc/self/fdinfo/"), (unsigned long)fd) = '\0';
}

/* Puts the begin of the file into `text`, with a NUL. False: nothing. */
static bool read_file(const char *path, char text[TEXT_MAX])
{
	uint64_t mask;
	long file = transient_file(path, &mask);
	long n = raw_syscall(__NR_pread64, file, text, TEXT_MAX - 1, 0);
	transient_close(file, mask);
	text[n > 0 ? n : 0] = '\0';
	return n > 0;
}

bool proc_number(const char *path, const char *label, uint64_t *number)
{
	char text[TEXT_MAX];
	const char *digit = NULL;
	if (!read_file(path, text))
		return false;
	for (const char *at = text; *at && !digit; at++)
		digit = text_after(at, label);
	if (!digit)
		return false;
	*number = 0;
	while (*digit == ' ' || *digit == '\t')
		digit++;
	for (; *digit >= '0' && *digit <= '9'; digit++)
		*number = *number * 10 + (uint64_t)(*digit - '0');
	return true;
}
