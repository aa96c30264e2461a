// SPDX-License-Identifier: BSD-2-Clause
/*
 * Goes where the time-stamp counter faults, or all but four system calls: first argument `prctl` or `seccomp`, strict mode; `tsc`,
 * the counter alone. Talks over a pipe before and after. `fork`: a child does so, with the counter, and its parent goes on.
 */
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int ends[2];

static int talk(int times)
{
	char byte = 'x';
	for (int i = 0; i < times; i++)
		if (write(ends[1], &byte, 1) != 1 || read(ends[0], &byte, 1) != 1)
			return 0;
	return 1;
}

static int enter(const char *how)
{
	if (!strcmp(how, "prctl"))
		return prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
	if (!strcmp(how, "seccomp"))
		return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, 0);
	return prctl(PR_SET_TSC, PR_TSC_SIGSEGV);
}

int main(int argc, char **argv)
{
	int status;
	if (argc != 2 || pipe(ends) || !talk(100))
		return 1;
	pid_t child = strcmp(argv[1], "fork") ? 0 : fork();
	if (child > 0) {
		waitpid(child, &status, 0);
		return !talk(100) || WEXITSTATUS(status) != 7;
	}
	int well = !enter(argv[1]) && talk(100) && write(1, "done\n", 5) == 5;
	syscall(SYS_exit, well ? 7 : 2); /* exit_group is forbidden */
}
