// SPDX-License-Identifier: BSD-2-Clause
/*
 * With arguments: runs them while a probe is on a function of libc that hardly anybody calls, for the whole
 * machine, as perf and bpftrace set them; 77: it cannot be set. Without: calls that function.
 */
#include <dlfcn.h>
#include <linux/perf_event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int probe(void)
{
	struct perf_event_attr attr = { .size = sizeof(attr) };
	Dl_info info;
	FILE *f = fopen("/sys/bus/event_source/devices/uprobe/type", "re");
	int type = 0;

	if (!f || fscanf(f, "%d", &type) != 1 || !dladdr((void *)a64l, &info))
		return -1;
	fclose(f);
	attr.type = type;
	attr.config1 = (uintptr_t)info.dli_fname;
	attr.config2 = (uintptr_t)info.dli_saddr - (uintptr_t)info.dli_fbase;
	return syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
}

int main(int argc, char **argv)
{
	int status;

	if (argc < 2)
		return a64l("1") != 3;
	if (probe() < 0)
		return 77;
	if (!fork()) {
		execv(argv[1], argv + 1);
		_exit(127);
	}
	wait(&status);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
