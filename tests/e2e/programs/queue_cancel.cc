// SPDX-License-Identifier: BSD-2-Clause
/* Threads cancelled while blocked in each call on a queue and on an eventfd, and a handler that uses them in
 * the midst of one: every destructor runs, every word arrives as it was. */
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/msg.h>
#include <unistd.h>

enum { WAYS = 6, ROUNDS = 40, MESSAGE = 8 };

struct Message {
	long type;
	char text[MESSAGE];
};

struct Guard {
	static std::atomic<int> alive;
	Guard()
	{
		alive++;
	}
	~Guard()
	{
		alive--;
	}
};
std::atomic<int> Guard::alive;

static std::atomic<int> entered, wrong;
static int empty_queue, full_queue, empty_counter, full_counter;
static mqd_t empty_mq, full_mq;

static void *block(void *way)
{
	Guard guard;
	Message m = { 3, "blocked" };
	uint64_t units = 1;
	entered++;
	switch ((intptr_t)way) {
	case 0:
		msgrcv(empty_queue, &m, MESSAGE, 0, 0);
		break;
	case 1:
		msgsnd(full_queue, &m, MESSAGE, 0);
		break;
	case 2:
		mq_receive(empty_mq, m.text, MESSAGE, nullptr);
		break;
	case 3:
		mq_send(full_mq, m.text, MESSAGE, 3);
		break;
	case 4:
		wrong += read(empty_counter, &units, sizeof(units)) >= 0;
		break;
	case 5:
		wrong += write(full_counter, &units, sizeof(units)) >= 0;
		break;
	}
	wrong++;
	return nullptr;
}

/* In the midst of a call on each, a round trip on the same ones with another word. */
static void handler(int)
{
	int before = errno;
	Message m = { 9, "handler" };
	unsigned int priority = 0;
	uint64_t units = 6;
	wrong += msgsnd(empty_queue, &m, 2, IPC_NOWAIT) != 0;
	wrong += msgrcv(empty_queue, &m, MESSAGE, 9, IPC_NOWAIT) != 2 || m.type != 9;
	wrong += mq_send(empty_mq, m.text, 3, 9) != 0;
	wrong += mq_receive(empty_mq, m.text, MESSAGE, &priority) != 3 || priority != 9;
	wrong += write(empty_counter, &units, sizeof(units)) != 8;
	units = 0;
	wrong += read(empty_counter, &units, sizeof(units)) != 8 || units != 6;
	errno = before;
}

static void cancel_all()
{
	for (intptr_t i = 0; i < WAYS * ROUNDS; i++) {
		pthread_t thread;
		void *result;
		int before = entered;
		if (pthread_create(&thread, nullptr, block, (void *)(i % WAYS)))
			exit(1);
		while (entered == before)
			usleep(10);
		if (i % 3)
			usleep(200);
		pthread_cancel(thread);
		pthread_join(thread, &result);
		wrong += result != PTHREAD_CANCELED;
	}
}

static void interrupt()
{
	struct sigaction action = {};
	Message m = { 1, "" };
	unsigned int priority;
	action.sa_handler = handler;
	sigaction(SIGALRM, &action, nullptr);
	for (int way = 0; way < 2; way++) {
		ualarm(20000, 0);
		long n = way ? mq_receive(empty_mq, m.text, MESSAGE, &priority)
			     : msgrcv(empty_queue, &m, MESSAGE, 1, 0);
		wrong += n != -1 || errno != EINTR;
	}
}

static mqd_t open_queue(const char *what)
{
	struct mq_attr sizes = {};
	char name[40];
	sizes.mq_maxmsg = 1;
	sizes.mq_msgsize = MESSAGE;
	snprintf(name, sizeof(name), "/%s.%d", what, getpid());
	mqd_t queue = mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, &sizes);
	mq_unlink(name);
	return queue;
}

int main()
{
	Message m = { 3, "full" };
	uint64_t most = UINT64_MAX - 1;
	empty_queue = msgget(IPC_PRIVATE, 0600);
	full_queue = msgget(IPC_PRIVATE, 0600);
	empty_mq = open_queue("empty");
	full_mq = open_queue("full");
	empty_counter = eventfd(0, 0);
	full_counter = eventfd(0, 0);
	while (msgsnd(full_queue, &m, MESSAGE, IPC_NOWAIT) == 0)
		;
	mq_send(full_mq, m.text, MESSAGE, 3);
	wrong += write(full_counter, &most, sizeof(most)) != 8;
	cancel_all();
	interrupt();
	msgctl(empty_queue, IPC_RMID, nullptr);
	msgctl(full_queue, IPC_RMID, nullptr);
	std::printf("%d entered, %d alive, %d wrong\n", entered.load(), Guard::alive.load(), wrong.load());
	return wrong != 0;
}
