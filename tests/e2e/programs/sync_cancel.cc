// SPDX-License-Identifier: BSD-2-Clause
/* Threads cancelled in each call that waits for a semaphore or a condition in shared memory, or with a cancellation
 * pending before it: every destructor runs, no unit is taken, the mutex is held. And what the C++ library makes of
 * private ones. */
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <pthread.h>
#include <semaphore.h>
#include <shared_mutex>
#include <stdexcept>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>
#include <vector>

enum { WAYS = 6, ROUNDS = 300 };

struct Shared {
	sem_t empty, full;
	pthread_mutex_t mutex;
	pthread_cond_t cond;
};

static Shared *s;
static std::atomic<int> alive, born, entered, locked;

struct Guard {
	Guard() { alive++, born++; }
	~Guard() { alive--; }
};

struct Lock {
	Lock() { pthread_mutex_lock(&s->mutex); }
	~Lock()
	{
		locked += pthread_mutex_trylock(&s->mutex) != 0;
		pthread_mutex_unlock(&s->mutex);
	}
};

static void __attribute__((noinline)) wait(int way)
{
	Guard guard;
	timespec late = { 4000000000, 0 };
	switch (way) {
	case 0:
		entered++;
		sem_wait(&s->empty);
		break;
	case 1:
		entered++;
		sem_timedwait(&s->empty, &late);
		break;
	case 2:
		entered++;
		sem_clockwait(&s->empty, CLOCK_MONOTONIC, &late);
		break;
	case 3: {
		Lock lock;
		entered++;
		pthread_cond_wait(&s->cond, &s->mutex);
		break;
	}
	case 4: {
		Lock lock;
		entered++;
		pthread_cond_timedwait(&s->cond, &s->mutex, &late);
		break;
	}
	case 5: /* the cancellation is there before the unit could be taken */
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
		entered++;
		usleep(300);
		while (entered % 2 == 1)
			usleep(50);
		pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, nullptr);
		sem_wait(&s->full);
		break;
	}
	std::puts("returned");
}

static void *start(void *way)
{
	Guard guard;
	wait((int)(intptr_t)way);
	return nullptr;
}

static void cancel_all()
{
	for (int i = 0; i < ROUNDS; i++) {
		pthread_t thread;
		void *result;
		int way = i % WAYS;
		entered = 0;
		if (pthread_create(&thread, nullptr, start, (void *)(intptr_t)way))
			abort();
		while (!entered)
			usleep(10);
		if (i % 3)
			usleep(50);
		pthread_cancel(thread);
		entered++;
		pthread_join(thread, &result);
		if (result != PTHREAD_CANCELED)
			abort();
	}
	int left;
	sem_getvalue(&s->full, &left);
	std::printf("%d born, %d alive, %d units, %d times locked\n", born.load(), alive.load(), left, locked.load());
}

static void library()
{
	std::mutex mutex;
	std::shared_mutex shared;
	std::condition_variable cond;
	std::vector<std::thread> threads;
	int turn = 0, sum = 0, caught = 0;
	for (int n = 0; n < 4; n++)
		threads.emplace_back([&, n] {
			for (int i = 0; i < 200; i++) {
				std::unique_lock<std::mutex> lock(mutex);
				cond.wait(lock, [&] { return turn == n; });
				turn = (turn + 1) % 4;
				cond.notify_all();
				try {
					std::lock_guard<std::shared_mutex> other(shared);
					sum += i;
					throw std::runtime_error("thrown");
				} catch (const std::exception &) {
					caught++;
				}
			}
		});
	for (auto &thread : threads)
		thread.join();
	std::printf("sum %d, caught %d\n", sum, caught);
}

int main()
{
	pthread_mutexattr_t m;
	pthread_condattr_t c;
	s = (Shared *)mmap(nullptr, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutexattr_init(&m);
	pthread_mutexattr_setpshared(&m, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&s->mutex, &m);
	pthread_condattr_init(&c);
	pthread_condattr_setpshared(&c, PTHREAD_PROCESS_SHARED);
	pthread_cond_init(&s->cond, &c);
	if (sem_init(&s->empty, 1, 0) || sem_init(&s->full, 1, 9))
		return 1;
	cancel_all();
	library();
	return 0;
}
