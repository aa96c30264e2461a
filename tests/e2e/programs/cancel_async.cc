// SPDX-License-Identifier: BSD-2-Clause
/*
 * Threads that may be cancelled at any instruction, cancelled while they do nothing but calls on pipes and eventfds, or none:
 * every destructor and every clean-up handler of theirs runs. (Their frames are not those that are interrupted: only where
 * it calls something does C++ know what to destroy.)
 */
#include <atomic>
#include <cstdio>
#include <initializer_list>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

static std::atomic<int> alive, born, entered, cleaned;
static int ends[2], packets[2], counter;

struct Guard {
	Guard() { alive++, born++; }
	~Guard() { alive--; }
};

static void clean(void *) { cleaned++; }

static void __attribute__((noinline)) work(long how)
{
	char byte = 0;
	int old;
	eventfd_t value;
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old);
	entered++;
	for (;;)
		switch (how) {
		case 0:
			break;
		case 1:
			if (write(ends[1], &byte, 1) != 1 || read(ends[0], &byte, 1) != 1)
				return;
			break;
		case 2:
			if (write(ends[1], &byte, 1) != 1) /* until the pipe is full */
				return;
			break;
		case 3:
			if (send(packets[0], &byte, 1, 0) != 1 || recv(packets[1], &byte, 1, 0) != 1)
				return;
			break;
		case 4:
			if (eventfd_write(counter, 1) || eventfd_read(counter, &value))
				return;
			break;
		}
}

static void __attribute__((noinline)) guarded(long how)
{
	Guard guard;
	work(how);
	std::puts("not cancelled");
}

static void *start(void *how)
{
	Guard guard;
	pthread_cleanup_push(clean, nullptr);
	guarded((long)how);
	pthread_cleanup_pop(0);
	return nullptr;
}

int main()
{
	for (long i = 0; i < 1000; i++) {
		pthread_t thread;
		void *result;
		int before = entered;
		counter = eventfd(0, 0);
		if (pipe(ends) || socketpair(AF_UNIX, SOCK_DGRAM, 0, packets) || counter < 0)
			return 1;
		if (pthread_create(&thread, nullptr, start, (void *)(i % 5)))
			return 1;
		while (entered == before)
			usleep(10);
		if (i % 7)
			usleep(i % 7 * 10);
		pthread_cancel(thread);
		pthread_join(thread, &result);
		if (result != PTHREAD_CANCELED)
			return 1;
		for (int fd : { ends[0], ends[1], packets[0], packets[1], counter })
			close(fd);
	}
	std::printf("%d born, %d alive, %d cleaned\n", born.load(), alive.load(), cleaned.load());
	return 0;
}
