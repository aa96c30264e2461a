// SPDX-License-Identifier: BSD-2-Clause
/*
 * `probed PROGRAM [ARG...]` runs the program while a uprobe counts the calls of libc's a64l in all processes.
 * `probed` alone calls that function, and a few that the shim has a place in. Status 77: no uprobes here.
 */
#include <dlfcn.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int uprobe(void *function)
{
	struct perf_event_attr attr = { .size = sizeof(attr) };
	Dl_info info;
	FILE *type = fopen("/sys/bus/event_source/devices/uprobe/type", "r");
	if (!type || fscanf(type, "%u", &attr.type) != 1 || !dladdr(function, &info))
		return -1;
	fclose(type);
	attr.config1 = (unsigned long)info.dli_fname;
	attr.config2 = (unsigned long)function - (unsigned long)info.dli_fbase;
	return (int)syscall(SYS_perf_event_open, &attr, -1, 0, -1, 0);
}

int main(int argc, char **argv)
{
	int status;
	if (argc == 1) {
		printf("%ld\n", a64l("./zz"));
		return 0;
	}
	if (uprobe((void *)a64l) < 0)
		return 77;
	if (fork() == 0) {
		execvp(argv[1], argv + 1);
		_exit(127);
	}
	wait(&status);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
