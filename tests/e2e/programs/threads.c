// SPDX-License-Identifier: BSD-2-Clause
/* Threads that come and go: 1,000 short ones, 8 at a time, each sends 5 messages of 20 bytes to a child. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int ends[2];

static void *work(void *name)
{
	char message[20];
	memset(message, *(char *)name, sizeof(message));
	for (int i = 0; i < 5; i++)
		if (write(ends[1], message, sizeof(message)) != sizeof(message))
			return &ends;
	return NULL;
}

static int receive(void)
{
	char message[20];
	int count = 0;
	close(ends[1]);
	while (read(ends[0], message, sizeof(message)) == sizeof(message))
		count++;
	return count;
}

int main(void)
{
	int status, failed = 0;
	if (pipe(ends))
		return 1;
	pid_t pid = fork();
	if (pid == 0)
		_exit(receive() == 5000 ? 0 : 1);
	close(ends[0]);
	for (int i = 0; i < 125; i++) {
		pthread_t threads[8];
		void *result;
		for (int t = 0; t < 8; t++)
			failed |= pthread_create(&threads[t], NULL, work, &"abcdefgh"[t]);
		for (int t = 0; t < 8; t++)
			failed |= pthread_join(threads[t], &result) || result;
	}
	close(ends[1]);
	waitpid(pid, &status, 0);
	printf("failed %d, status %d\n", failed, status);
	return 0;
}
