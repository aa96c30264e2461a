// SPDX-License-Identifier: BSD-2-Clause
/* mlockall within the ordinary 8 MiB limit, then traffic from new threads and a child. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static int ends[2];

static void *send_ten(void *unused)
{
	for (int i = 0; i < 10; i++)
		if (write(ends[1], "0123456789", 10) != 10)
			return &ends;
	return unused;
}

int main(void)
{
	struct rlimit limit = { 8 << 20, 8 << 20 };
	pthread_attr_t attr;
	pthread_t thread;
	char buffer[1000];
	ssize_t total = 0;

	setrlimit(RLIMIT_MEMLOCK, &limit);
	printf("current: %s\n", strerror(mlockall(MCL_CURRENT) ? errno : 0));
	printf("future: %s\n", strerror(mlockall(MCL_CURRENT | MCL_FUTURE) ? errno : 0));
	if (pipe(ends))
		return 1;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	for (int i = 0; i < 3; i++)
		if (pthread_create(&thread, &attr, send_ten, NULL) || pthread_join(thread, NULL))
			return 1;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		_exit(send_ten(NULL) ? 1 : 0);
	close(ends[1]);
	for (ssize_t n; (n = read(ends[0], buffer, sizeof(buffer))) > 0;)
		total += n;
	int status;
	waitpid(pid, &status, 0);
	printf("%zd bytes, status %d\n", total, status);
	return 0;
}
