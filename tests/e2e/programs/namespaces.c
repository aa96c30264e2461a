// SPDX-License-Identifier: BSD-2-Clause
/* Two libcs in one process: pipes are written by the one and read by the other, and the second one forks and
 * has popen. */
#include <dlfcn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	void *libc = dlmopen(LM_ID_NEWLM, "libc.so.6", RTLD_NOW | RTLD_LOCAL);
	char buffer[64];
	int ends[2], status;
	if (!libc || pipe(ends))
		return 1;
	ssize_t (*its_write)(int, const void *, size_t) = dlsym(libc, "write");
	ssize_t (*its_read)(int, void *, size_t) = dlsym(libc, "read");
	FILE *(*its_popen)(const char *, const char *) = dlsym(libc, "popen");
	int (*its_pclose)(FILE *) = dlsym(libc, "pclose");
	char *(*its_fgets)(char *, int, FILE *) = dlsym(libc, "fgets");
	pid_t (*its_fork)(void) = dlsym(libc, "fork");
	for (int i = 0; i < 10; i++) {
		if (its_write(ends[1], "hello", 5) != 5 || read(ends[0], buffer, 5) != 5)
			return 2;
		if (write(ends[1], "hello", 5) != 5 || its_read(ends[0], buffer, 5) != 5)
			return 3;
	}
	FILE *lines = its_popen("echo from its popen | cat", "r");
	if (!lines || !its_fgets(buffer, sizeof(buffer), lines) || its_pclose(lines))
		return 4;
	for (int i = 0; i < 3; i++) {
		pid_t pid = its_fork();
		if (!pid) {
			if (write(ends[1], "fork", 4) != 4)
				_exit(1);
			_exit(0);
		}
		if (waitpid(pid, &status, 0) != pid || status || read(ends[0], buffer, 4) != 4)
			return 5;
	}
	printf("%s", buffer);
	return 0;
}
