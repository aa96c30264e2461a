// SPDX-License-Identifier: BSD-2-Clause
/* Threads cancelled while blocked in read and in write: every destructor on their stacks runs. */
#include <atomic>
#include <cstdio>
#include <pthread.h>
#include <unistd.h>

static std::atomic<int> alive, born, entered;
static int empty[2], full[2];

struct Guard {
	Guard() { alive++, born++; }
	~Guard() { alive--; }
};

static void __attribute__((noinline)) blocked_read()
{
	Guard guard;
	char byte;
	entered++;
	if (read(empty[0], &byte, 1) >= 0)
		std::puts("read returned");
}

static void __attribute__((noinline)) blocked_write()
{
	Guard guard;
	static char bytes[65536];
	entered++;
	while (write(full[1], bytes, sizeof(bytes)) > 0)
		;
}

static void *start(void *writes)
{
	Guard guard;
	if (writes)
		blocked_write();
	else
		blocked_read();
	return nullptr;
}

int main()
{
	if (pipe(empty) || pipe(full))
		return 1;
	for (int i = 0; i < 1000; i++) {
		pthread_t thread;
		void *result;
		int before = entered;
		if (pthread_create(&thread, nullptr, start, i % 2 ? &alive : nullptr))
			return 1;
		while (entered == before)
			usleep(10);
		if (i % 3)
			usleep(50);
		pthread_cancel(thread);
		pthread_join(thread, &result);
		if (result != PTHREAD_CANCELED)
			return 1;
	}
	std::printf("%d born, %d alive\n", born.load(), alive.load());
	return 0;
}
