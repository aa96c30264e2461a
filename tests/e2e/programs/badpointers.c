/* SPDX-License-Identifier: BSD-2-Clause */
/* System calls with pointers that lead nowhere: the kernel's answer is EFAULT, and the program goes on. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void tell(const char *what, long result)
{
	printf("%s %ld %d\n", what, result, result < 0 ? errno : 0);
	fflush(stdout);
}

int main(void)
{
	char *volatile null = NULL, *volatile nowhere = (char *)8;
	char *args[] = { "true", NULL }, *strings[] = { nowhere, NULL };
	int fds[2];
	if (pipe(fds))
		return 1;
	tell("path", execve(nowhere, args, args + 1));
	tell("null", execve(null, args, args + 1));
	tell("environment", execve("/bin/true", args, (char **)nowhere));
	tell("strings", execve("/bin/true", args, strings));
	tell("arguments", execve("/bin/true", (char **)nowhere, NULL));
	tell("absent", execve("/nonexistent", args, (char **)nowhere));
	tell("clone3", syscall(SYS_clone3, nowhere, 88L));
	tell("pipe2", syscall(SYS_pipe2, nowhere, 0L));
	tell("open", syscall(SYS_openat, -100L, nowhere, 0L));
	tell("write", write(fds[1], nowhere, 5));
	if (fork() == 0)
		_exit(3);
	tell("wait4", syscall(SYS_wait4, -1L, nowhere, 0L, 0L));
	return EXIT_SUCCESS;
}
