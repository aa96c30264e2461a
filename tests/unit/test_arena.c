// SPDX-License-Identifier: BSD-2-Clause
/*
 * The arena from both sides: real producers (threads, forked children, killed ones, signal handlers) against
 * the drain, which is included here with a collector that only takes notes. The truth is what the producers
 * count in memory of their own.
 */
#define collector_record    noted_record
#define collector_loss	    noted_loss
#define collector_total	    noted_total
#define collector_watermark noted_watermark
#define collector_meta	    noted_meta
#define collector_counted   noted_counted
#define source_shim	    tested_source

#include "../../collector/drain.c"
#include "../../preload/ring.c"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

enum { THREADS = 8192, TEXT_THREAD = 7 };

/* --- the collector that takes notes --- */

static struct {
	uint64_t next[THREADS]; /* by thread: the counter that must come next */
	uint64_t events, wrong_order, late, inside, gone, images, definitions;
	uint64_t watermark, loss[IPC_REASONS], blocked_claims;
	struct ipc_event last_inside;
	uint32_t last_image;
	char text[IPC_TEXT_MAX + 1];
	uint64_t overflow_sends, overflow_recvs, overflow_sent, overflow_received, overflow_ns, overflows;
	bool gone_before_image;
	uint64_t counts, sends, receives;
	struct collector_count last_count;
} noted;

static void note_definition(const struct ipc_def *def)
{
	noted.definitions++;
	noted.gone += def->call == IPC_DEF_GONE;
	if (def->call == IPC_DEF_IMAGE) {
		noted.images++;
		noted.last_image = def->image.image;
		noted.gone_before_image = noted.gone > 0;
	}
	memcpy(noted.text, def + 1, def->text);
	noted.text[def->text] = '\0';
}

void collector_record(struct collector *c, enum collector_source source, const struct ipc_event *e)
{
	(void)c;
	assert_int_equal(source, COLLECTOR_SHIM);
	if (e->call >= IPC_DEF_FIRST) {
		note_definition((const struct ipc_def *)e);
		return;
	}
	if (e->flags & IPC_F_INSIDE) {
		noted.inside++;
		noted.last_inside = *e;
		return;
	}
	noted.events++;
	noted.late += e->start + e->duration <= noted.watermark;
	if (e->thread < THREADS && e->arg1 == noted.next[e->thread])
		noted.next[e->thread]++;
	else
		noted.wrong_order++;
}

void collector_loss(struct collector *c, enum collector_source source, enum ipc_reason reason, int pid,
		    const char *comm, uint64_t count)
{
	(void)c, (void)source, (void)pid, (void)comm;
	noted.loss[reason] += count;
}

void collector_total(struct collector *c, enum collector_source source, uint64_t time,
		     const struct collector_total *t)
{
	(void)c, (void)source, (void)time;
	bool sends = t->verb == IPC_VERB_send;
	assert_true(t->dropped && t->calls == t->moved);
	noted.overflows++;
	*(sends ? &noted.overflow_sends : &noted.overflow_recvs) += t->moved;
	*(sends ? &noted.overflow_sent : &noted.overflow_received) += t->bytes;
	noted.overflow_ns += t->moved_ns;
}

void collector_counted(struct collector *c, enum collector_source from, const struct collector_count *n)
{
	(void)c, (void)from;
	assert_true(n->image && n->first_ns <= n->last_ns && n->sends + n->receives > 0);
	assert_true(ipc_object_mechanism(n->object) < IPC_MECHANISMS);
	noted.counts++;
	noted.sends += n->sends;
	noted.receives += n->receives;
	noted.last_count = *n;
}

void collector_watermark(struct collector *c, enum collector_source source, uint64_t ns)
{
	(void)c, (void)source;
	assert_true(ns >= noted.watermark);
	noted.watermark = ns;
}

struct journal *collector_journal(const struct collector *c)
{
	(void)c;
	return NULL;
}

void collector_resume_op(struct collector *c, enum journal_op op, unsigned int of, const void *data,
			 size_t size)
{
	(void)c;
	(void)op;
	(void)of;
	(void)data;
	(void)size;
}

void collector_meta(struct collector *c, const char *key, const char *value)
{
	(void)c;
	if (!strcmp(key, "blocked_claims"))
		noted.blocked_claims = strtoull(value, NULL, 10);
}

/* --- producers --- */

struct shared { /* between the test and its children: the truth */
	_Atomic uint64_t published[THREADS], refused[THREADS];
	_Atomic uint32_t ready;
	_Atomic uint64_t notes[8];
};

static struct shared *truth;
static struct source *source;
static struct ring_process ring;

static uint64_t stamp(void)
{
	return source->clock.kind == ARENA_CLOCK_TSC ? arch_ticks() : ring_monotonic_ns();
}

static void fill(struct ipc_event *slot, uint32_t thread, uint64_t counter)
{
	uint64_t end = stamp();
	slot->start = end - 10;
	slot->duration = 10;
	slot->object = ipc_object(IPC_MECH_pipe, 1);
	slot->result = 1;
	slot->arg0 = 0;
	slot->arg1 = counter;
	slot->thread = thread;
	slot->call = IPC_CALL_write;
	slot->flags = 0;
	slot->tag = 0;
}

/* One event with the thread's next counter; refused ones are counted and use up none. */
static bool emit(struct ring_thread *t, uint32_t thread)
{
	struct ipc_event *slot = ring_begin(&ring, t, 1);
	if (!slot) {
		truth->refused[thread]++;
		return false;
	}
	fill(slot, thread, truth->published[thread]);
	ring_publish(t, slot);
	truth->published[thread]++;
	return true;
}

static void emit_definition(struct ring_thread *t, struct ipc_def def, const char *text)
{
	def.text = strlen(text);
	struct ipc_event *slot = ring_begin(&ring, t, ipc_def_slots(def.text));
	assert_non_null(slot);
	struct ipc_def *out = (struct ipc_def *)slot;
	uint32_t seq = out->seq;
	def.time = stamp();
	*out = def;
	out->seq = seq;
	memcpy(slot + 1, text, def.text);
	ring_publish(t, slot);
}

static void emit_image(struct ring_thread *t, uint32_t image, enum ipc_via via)
{
	ring.image = image;
	emit_definition(t,
			(struct ipc_def){ .image = { .image = image, .pid = ring.pid, .via = via },
					  .call = IPC_DEF_IMAGE },
			"comm");
}

static void attach(void)
{
	memset(&ring, 0, sizeof(ring));
	assert_int_equal(ring_attach(&ring, source->file.path, getpid()), 0);
	ring.image = getpid();
}

/* Runs `produce` in a child of its own and returns its pid. */
static pid_t spawn(void (*produce)(uint32_t), uint32_t argument)
{
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		attach();
		produce(argument);
		_exit(0);
	}
	assert_true(pid > 0);
	return pid;
}

static void wait_for(pid_t pid)
{
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) ? WEXITSTATUS(status) == 0 : WTERMSIG(status) == SIGKILL);
}

static void poll_some(int times)
{
	for (int i = 0; i < times; i++) {
		assert_true(shim_poll(source, NULL, false) >= 0);
		usleep(1000);
	}
}

static void poll_until_free(void)
{
	for (int i = 0; i < 3000 && (i < 2 || source->listed || source->free != source->file.allocated); i++)
		poll_some(1);
	assert_int_equal(source->free, source->file.allocated);
	poll_some(2 * CHECK_NS / MS); /* who died without a chunk */
	for (uint32_t i = 0; i < source->file.allocated; i++)
		assert_int_equal(source->file.controls[i].owner, 0);
}

static void poll_while_alive(pid_t pid)
{
	siginfo_t info = { 0 };
	while (!waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) && info.si_pid == 0)
		assert_true(shim_poll(source, NULL, false) >= 0);
	wait_for(pid);
}

static int set_up(void **state)
{
	char error[256];
	(void)state;
	memset(&noted, 0, sizeof(noted));
	truth = mmap(NULL, sizeof(*truth), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (source_make(&source, 0, error, sizeof(error))) {
		fprintf(stderr, "%s\n", error);
		return -1;
	}
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	if (ring.header)
		munmap(ring.header, ring.windows->chunk_offset);
	memset(&ring, 0, sizeof(ring));
	shim_close(source);
	munmap(truth, sizeof(*truth));
	return 0;
}

/* Everything that the producers know as published came once and in order; one more may have been, just before
 * its producer was killed and could count it. */
static void assert_all_arrived(uint64_t slack)
{
	for (uint32_t thread = 0; thread < THREADS; thread++) {
		assert_true(noted.next[thread] >= truth->published[thread]);
		assert_true(noted.next[thread] <= truth->published[thread] + slack);
	}
	assert_int_equal(noted.wrong_order, 0);
	assert_int_equal(noted.late, 0);
}

/* --- tests: producers that live and die --- */

static void produce_for_ever(uint32_t thread)
{
	struct ring_thread t = { 0 };
	while (!emit(&t, thread)) /* the machine may be busy: full */
		;
	truth->ready++;
	for (;;)
		emit(&t, thread);
}

static void test_killed_producers_lose_nothing(void **state)
{
	enum { ROUNDS = SANITIZED ? 100 : 400, WIDTH = 3 };
	(void)state;
	srandom(1);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		pid_t pid[WIDTH];
		truth->ready = 0;
		for (uint32_t i = 0; i < WIDTH; i++)
			pid[i] = spawn(produce_for_ever, 1 + round * WIDTH + i);
		while (truth->ready < WIDTH)
			shim_poll(source, NULL, false);
		for (uint64_t end = ring_monotonic_ns() + random() % 1500000; ring_monotonic_ns() < end;)
			shim_poll(source, NULL, false);
		for (uint32_t i = 0; i < WIDTH; i++)
			kill(pid[i], SIGKILL);
		for (uint32_t i = 0; i < WIDTH; i++)
			wait_for(pid[i]);
	}
	poll_until_free();
	assert_all_arrived(1);
	assert_true(noted.events > ROUNDS * 100);
	assert_int_equal(noted.gone, ROUNDS * WIDTH);
	assert_int_equal(noted.loss[IPC_REASON_rejected], 0);
}

static void *thread_produces(void *argument)
{
	struct ring_thread t = { 0 };
	uint32_t thread = (uintptr_t)argument;
	for (int i = 0; i < 200000; i++)
		emit(&t, thread);
	ring_release(&ring, &t);
	return NULL;
}

static void produce_in_threads(uint32_t threads)
{
	pthread_t id[32];
	for (uint32_t i = 0; i < threads; i++)
		pthread_create(&id[i], NULL, thread_produces, (void *)(uintptr_t)(1 + i));
	for (uint32_t i = 0; i < threads; i++)
		pthread_join(id[i], NULL);
}

/* More threads than spare windows. */
static void test_threads_at_full_speed(void **state)
{
	(void)state;
	poll_while_alive(spawn(produce_in_threads, 20));
	poll_until_free();
	assert_all_arrived(0);
	assert_int_equal(noted.events, 20 * 200000);
}

static void *thread_lives_shortly(void *argument)
{
	struct ring_thread t = { 0 };
	for (int i = 0; i < 10; i++)
		emit(&t, (uintptr_t)argument);
	ring_release(&ring, &t);
	return NULL;
}

static void produce_short_threads(uint32_t threads)
{
	pthread_t id;
	for (uint32_t i = 0; i < threads; i++) {
		pthread_create(&id, NULL, thread_lives_shortly, (void *)(uintptr_t)(1 + i));
		pthread_join(id, NULL);
	}
}

static void test_short_threads_share_chunks(void **state)
{
	(void)state;
	poll_while_alive(spawn(produce_short_threads, 2000));
	poll_until_free();
	assert_all_arrived(0);
	assert_int_equal(noted.events, 20000);
	assert_in_range(source->file.header->claims, 20000 / CHUNK_SLOTS,
			20000 / (CHUNK_SLOTS - POOL_ROOM) + 2);
}

/* --- tests: signal handlers --- */

static struct ring_thread handled;

static void on_alarm(int signal)
{
	(void)signal;
	for (int i = 0; i < 3; i++)
		emit(&handled, 2);
}

static void start_alarms(void (*handler)(int), int flags)
{
	const struct itimerval each = { { 0, 50 }, { 0, 50 } };
	const struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART | flags };
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &each, NULL);
}

static void produce_with_handler(uint32_t count)
{
	start_alarms(on_alarm, 0);
	for (uint32_t i = 0; i < count; i++)
		emit(&handled, 1);
}

static void test_handlers_record_in_the_middle(void **state)
{
	(void)state;
	poll_while_alive(spawn(produce_with_handler, 5000000));
	poll_until_free();
	assert_all_arrived(0);
	assert_int_equal(truth->published[1] + truth->refused[1], 5000000);
	assert_true(truth->published[2] > 100);
	assert_int_equal(noted.loss[IPC_REASON_torn], 0);
}

static void *produce_on_a_low_stack(void *alternate)
{
	const stack_t high = { .ss_sp = alternate, .ss_size = 65536 };
	stack_t before;
	sigset_t alarm_signal;
	sigemptyset(&alarm_signal);
	sigaddset(&alarm_signal, SIGALRM);
	sigaltstack(&high, &before);
	pthread_sigmask(SIG_UNBLOCK, &alarm_signal, NULL);
	for (uint32_t i = 0; i < 3000000; i++)
		emit(&handled, 1);
	pthread_sigmask(SIG_BLOCK, &alarm_signal, NULL);
	sigaltstack(&before, NULL);
	return NULL;
}

static void produce_with_alternate_stack(uint32_t argument)
{
	char alternate[65536]; /* the main thread's stack lies above all others */
	sigset_t alarm_signal;
	pthread_t id;
	(void)argument;
	sigemptyset(&alarm_signal);
	sigaddset(&alarm_signal, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarm_signal, NULL);
	start_alarms(on_alarm, SA_ONSTACK);
	pthread_create(&id, NULL, produce_on_a_low_stack, alternate);
	pthread_join(id, NULL);
}

/* A handler's frames are above those that it interrupted. */
static void test_handlers_on_an_alternate_stack(void **state)
{
	(void)state;
	poll_while_alive(spawn(produce_with_alternate_stack, 0));
	poll_until_free();
	assert_all_arrived(0);
	assert_int_equal(truth->published[1] + truth->refused[1], 3000000);
	assert_true(truth->published[2] > 100);
	assert_int_equal(noted.loss[IPC_REASON_torn], 0);
}

static sigjmp_buf out_of_handler;

static void on_alarm_jump(int signal)
{
	(void)signal;
	emit(&handled, 2);
	siglongjmp(out_of_handler, 1);
}

static void __attribute__((noinline)) emit_deeper(uint32_t depth, uint32_t count)
{
	volatile uint32_t room[64] = { 0 };
	if (depth > room[0])
		emit_deeper(depth - 1, count);
	for (uint32_t i = 0; !depth && i < count; i++)
		truth->notes[1] += !emit(&handled, 4);
}

/* Afterwards all records come from deeper frames than those that were jumped out of. */
static void produce_with_jumps(uint32_t jumps)
{
	static volatile uint32_t jumped;
	for (uint32_t i = 0; i < 100; i++)
		emit(&handled, 3);
	if (sigsetjmp(out_of_handler, 1))
		jumped++;
	else
		start_alarms(on_alarm_jump, 0);
	while (jumped < jumps) {
		struct ipc_event *slot = ring_begin(&ring, &handled, 1);
		if (slot) {
			fill(slot, 1, 0);
			ring_publish(&handled, slot);
			truth->notes[0]++;
		}
	}
	const struct itimerval never = { 0 };
	setitimer(ITIMER_REAL, &never, NULL);
	emit_deeper(5, 10000);
	truth->notes[2] = windows_mapped(ring.windows, false);
}

/* Handlers that leave by siglongjmp out of the middle of a record or a claim, 5,000 times. */
static void test_handlers_jump_out(void **state)
{
	(void)state;
	poll_while_alive(spawn(produce_with_jumps, 5000));
	poll_until_free();
	assert_int_equal(noted.next[2], truth->published[2]);
	assert_int_equal(noted.next[4] + truth->notes[1], 10000);
	assert_in_range(truth->notes[1], 0, CHUNK_SLOTS + NESTED_MAX);
	assert_true(noted.events >= truth->notes[0] + noted.next[4]);
	assert_in_range(truth->notes[2], 1, WINDOWS_SPARE + 1);
}

/* --- tests: full --- */

static void produce_until_full(uint32_t extra)
{
	struct ring_thread t = { 0 };
	while (emit(&t, 1))
		;
	uint64_t start = ring_monotonic_ns();
	truth->notes[1] = ring.header->full;
	for (uint32_t i = 0; i < extra; i++)
		if (!emit(&t, 1))
			ring_overflow(&ring, ipc_object(IPC_MECH_pipe, 5 + i % 3), i % 2, i, 1000);
	truth->notes[0] = ring_monotonic_ns() - start;
	while (!truth->notes[2])
		usleep(1000);
	while (ring.header->full)
		usleep(1000);
	emit(&t, 1);
}

static void test_full_arena_counts(void **state)
{
	enum { EXTRA = 100000 };
	(void)state;
	uint32_t chunks = source->file.allocated;
	source->file.header->block_us = 20000;
	uint64_t start = ring_monotonic_ns();
	pid_t pid = spawn(produce_until_full, EXTRA);
	while (truth->refused[1] < EXTRA + 1)
		usleep(1000);
	assert_true(ring_monotonic_ns() - start > 20000 * 1000);
	assert_true(truth->notes[0] < (SANITIZED ? 1000000000 : 100000000)); /* it did not wait again */
	assert_int_equal(truth->notes[1], 1);
	assert_int_equal(truth->published[1], chunks * (CHUNK_SLOTS - RING_RESERVE));
	truth->notes[2] = 1;
	poll_while_alive(pid);
	poll_until_free();
	assert_int_equal(truth->published[1], chunks * (CHUNK_SLOTS - RING_RESERVE) + 1);
	assert_all_arrived(0);
	shim_poll(source, NULL, true);
	assert_int_equal(noted.overflows, 6); /* sends and receives of 3 */
	assert_int_equal(noted.overflow_sends, EXTRA / 2);
	assert_int_equal(noted.overflow_recvs, EXTRA / 2);
	assert_int_equal(noted.overflow_sent, (uint64_t)EXTRA / 2 * EXTRA / 2);
	assert_int_equal(noted.overflow_received, (uint64_t)EXTRA / 2 * (EXTRA / 2 - 1));
	uint64_t ns = clock_span(&source->clock, 1000 * (uint64_t)EXTRA);
	assert_in_range(noted.overflow_ns, ns - 100, ns + 100);
	assert_int_equal(noted.blocked_claims, 1);
}

static void test_waiting_claim_gets_a_freed_chunk(void **state)
{
	(void)state;
	uint32_t chunks = source->file.allocated;
	source->file.exhausted = true;
	source->file.header->block_us = 10000000;
	poll_while_alive(spawn(produce_in_threads, 3));
	poll_until_free();
	assert_all_arrived(0);
	assert_int_equal(noted.events, 3 * 200000);
	assert_int_equal(source->file.allocated, chunks);
}

static void test_arena_grows(void **state)
{
	(void)state;
	poll_while_alive(spawn(produce_in_threads, 2));
	static struct ring_thread t[160];
	attach();
	for (int i = 0; i < 160; i++) {
		assert_true(emit(&t[i], 100 + i));
		if (i % 8 == 7)
			poll_some(2);
	}
	assert_true(source->file.allocated > 160);
	assert_true(source->free * 4 >= source->file.allocated);
}

/* --- tests: fork --- */

static void test_fork_child_takes_its_own_chunk(void **state)
{
	(void)state;
	struct ring_thread t = { 0 };
	attach();
	for (int i = 0; i < 5; i++)
		emit(&t, 1);
	uint32_t chunk = t.chunk;
	pid_t pid = fork();
	if (pid == 0) {
		ring_fork_child(&ring, &t, getpid());
		ring.image = getpid();
		for (int i = 0; i < 3000; i++)
			emit(&t, 2);
		_exit(t.chunk == chunk);
	}
	wait_for(pid);
	const struct ipc_event *slots = (const void *)(source->file.slots + (size_t)chunk * CHUNK_BYTES);
	for (uint32_t i = 5; i < CHUNK_SLOTS; i++)
		assert_int_equal(slots[i].thread, 0);
	emit(&t, 1);
	ring_release(&ring, &t);
	poll_some(20);
	assert_all_arrived(0);
	assert_int_equal(noted.next[1], 6);
	assert_int_equal(noted.next[2], 3000);
}

static void test_fork_in_the_middle_of_a_record(void **state)
{
	(void)state;
	struct ring_thread t = { 0 };
	attach();
	emit(&t, 1);
	struct ipc_event *slot = ring_begin(&ring, &t, 1);
	pid_t pid = fork();
	if (pid == 0) {
		ring_fork_child(&ring, &t, getpid());
		ring.image = getpid();
		emit(&t, 2); /* the handler's: the record under way has the only chunk */
		fill(slot, 2, 77);
		ring_publish(&t, slot);
		for (int i = 0; i < 10; i++)
			emit(&t, 3);
		_exit(0);
	}
	wait_for(pid);
	assert_int_equal(slot->thread, 0);
	fill(slot, 1, truth->published[1]);
	ring_publish(&t, slot);
	truth->published[1]++;
	emit(&t, 1);
	poll_some(20);
	assert_int_equal(noted.next[1], 3);
	assert_int_equal(noted.next[3], 10);
	assert_int_equal(noted.wrong_order, 0);
	assert_int_equal(noted.events, 13);
}

/* A child of a claim under way must not go on with it: the worst is that it records nothing. */
static void test_fork_in_the_middle_of_a_claim(void **state)
{
	(void)state;
	struct ring_thread t = { 0 };
	attach();
	emit(&t, 1);
	pid_t pid = fork();
	if (pid == 0) {
		struct ring_thread claiming = { .busy = 1 };
		ring_fork_child(&ring, &claiming, getpid());
		_exit(!ring.header->stop || emit(&claiming, 2));
	}
	wait_for(pid);
	emit(&t, 1);
	assert_int_equal(source->file.header->stop, 0);
	poll_some(20);
	assert_int_equal(noted.next[1], 2);
	assert_int_equal(noted.events, 2);
}

/* --- tests: death, exec, re-used pids --- */

static void die_inside_a_write(uint32_t thread)
{
	struct ring_thread t = { 0 };
	emit_image(&t, ring.pid, IPC_VIA_FORK);
	emit(&t, thread);
	t.control->start = stamp();
	t.control->object = ipc_object(IPC_MECH_fifo, 99);
	t.control->arg0 = 11;
	t.control->arg1 = 4096;
	t.control->thread = thread;
	t.control->call = IPC_CALL_write;
	for (uint32_t i = 0; i < 2000; i++)
		emit(&t, thread); /* the call in progress moves on with the thread */
	truth->notes[0] = ring_monotonic_ns();
	raise(SIGKILL);
}

static void test_death_inside_a_call_is_told(void **state)
{
	(void)state;
	wait_for(spawn(die_inside_a_write, 9));
	poll_until_free();
	assert_all_arrived(0);
	assert_int_equal(noted.inside, 1);
	assert_int_equal(noted.gone, 1);
	const struct ipc_event *e = &noted.last_inside;
	assert_int_equal(e->object, ipc_object(IPC_MECH_fifo, 99));
	assert_int_equal(e->call, IPC_CALL_write);
	assert_int_equal(e->flags, IPC_F_INSIDE);
	assert_int_equal(e->arg0, 11);
	assert_int_equal(e->arg1, 4096);
	assert_int_equal(e->thread, 9);
	assert_int_equal(e->result, 0);
	assert_true(e->start < truth->notes[0] && e->start + e->duration > truth->notes[0]);
}

static void exit_properly(uint32_t thread)
{
	struct ring_thread t = { 0 };
	(void)thread;
	emit_image(&t, ring.pid, IPC_VIA_FORK);
	struct ipc_event *slot = ring_begin(&ring, &t, 1);
	fill(slot, 1, 0);
	slot->call = IPC_CALL_exit_group;
	slot->object = ipc_object(IPC_MECH_process, ring.pid);
	ring_publish(&t, slot);
	t.control->thread = 1;
	t.control->start = stamp();
	t.control->call = IPC_CALL_exit_group;
}

static void test_exit_is_not_told_twice(void **state)
{
	(void)state;
	wait_for(spawn(exit_properly, 0));
	poll_until_free();
	assert_int_equal(noted.events, 1);
	assert_int_equal(noted.gone, 0);
	assert_int_equal(noted.inside, 0);
}

static void wait_for_ever(uint32_t argument)
{
	(void)argument;
	pause();
}

/* The machine was busy: the child was born long after fork was entered. */
static void test_child_of_a_long_fork_is_alive(void **state)
{
	(void)state;
	struct ring_thread t = { 0 };
	uint64_t entered = stamp();
	usleep(100000);
	pid_t pid = spawn(wait_for_ever, 0);
	attach();
	struct ipc_event *slot = ring_begin(&ring, &t, 1);
	fill(slot, 1, 0);
	slot->duration = slot->start + slot->duration - entered;
	slot->start = entered;
	slot->call = IPC_CALL_fork;
	slot->object = ipc_object(IPC_MECH_process, pid);
	slot->result = pid;
	ring_publish(&t, slot);
	poll_some(4 * CHECK_NS / MS);
	assert_int_equal(noted.events, 1);
	assert_int_equal(noted.gone, 0);
	kill(pid, SIGKILL);
	wait_for(pid);
	poll_some(4 * CHECK_NS / MS);
	assert_int_equal(noted.gone, 1);
}

static void exec_twice(uint32_t thread)
{
	struct ring_thread t = { 0 }, other = { 0 };
	emit_image(&t, 1, IPC_VIA_FORK);
	emit(&t, thread);
	emit(&other, thread + 1);
	t.control->call = IPC_CALL_execve;
	other.control->call = IPC_CALL_read;
	other.control->thread = thread + 1;
	other.control->start = stamp();
	attach(); /* as after the exec: nothing is left but the pid */
	t = (struct ring_thread){ 0 };
	emit_image(&t, 2, IPC_VIA_EXEC);
	emit(&t, thread + 2);
	while (!truth->notes[0])
		usleep(1000);
}

static void test_exec_frees_the_old_image(void **state)
{
	(void)state;
	pid_t pid = spawn(exec_twice, 20);
	while (!truth->published[22])
		usleep(1000);
	poll_some(3);
	assert_int_equal(noted.images, 2);
	assert_int_equal(noted.events, 3);
	assert_int_equal(noted.inside, 1); /* the other thread's read, not the execve */
	assert_int_equal(noted.last_inside.call, IPC_CALL_read);
	assert_int_equal(noted.gone, 0);
	assert_int_equal(source->free, source->file.allocated - 1);
	truth->notes[0] = 1;
	wait_for(pid);
	poll_until_free();
	assert_int_equal(noted.gone, 1);
}

static void test_reused_pid_ends_the_old_process_first(void **state)
{
	(void)state;
	struct ring_thread old = { 0 }, new = { 0 };
	attach();
	emit_image(&old, 1, IPC_VIA_FORK);
	poll_some(3);
	attach();
	emit_image(&new, 2, IPC_VIA_FORK);
	poll_some(3);
	assert_int_equal(noted.gone, 1);
	assert_int_equal(noted.last_image, 2);
	assert_true(noted.gone_before_image);
	assert_int_equal(source->free, source->file.allocated - 1);
}

static void claim_and_die_in_the_middle(uint32_t argument)
{
	struct ring_thread t = { 0 };
	(void)argument;
	chunk_find(&ring, &t);
	raise(SIGKILL);
}

static void test_death_in_the_middle_of_a_claim(void **state)
{
	(void)state;
	wait_for(spawn(claim_and_die_in_the_middle, 0));
	poll_some(5);
	assert_int_equal(source->free, source->file.allocated - 1);
	poll_until_free();
}

/* --- tests: the watermark --- */

static void test_watermark_waits_for_a_record_under_way(void **state)
{
	(void)state;
	struct ring_thread t = { 0 };
	attach();
	emit(&t, 1);
	poll_some(1);
	struct ipc_event *slot = ring_begin(&ring, &t, 1);
	fill(slot, 1, 1);
	uint64_t stamped = ring_monotonic_ns();
	poll_some(20);
	assert_true(noted.watermark < stamped);
	ring_publish(&t, slot);
	poll_some(2);
	assert_true(noted.watermark > stamped);
	assert_int_equal(noted.next[1], 2);
	assert_int_equal(noted.late, 0);
	ring_begin(&ring, &t, 1); /* never published: 200 ms, no more */
	stamped = ring_monotonic_ns();
	usleep(250000);
	poll_some(1);
	assert_true(noted.watermark > stamped && noted.watermark < ring_monotonic_ns() - 190000000);
}

/* --- tests: definitions --- */

static void test_definitions_at_the_end_of_a_chunk(void **state)
{
	(void)state;
	char text[IPC_TEXT_MAX + 1];
	struct ring_thread t = { 0 };
	attach();
	for (uint32_t room = 0; room < 70; room++) {
		uint32_t size = room * 61 % IPC_TEXT_MAX;
		memset(text, 'a' + room % 26, sizeof(text));
		text[size] = '\0';
		while (!t.slots || t.next != CHUNK_SLOTS - RING_RESERVE - room)
			emit(&t, 1);
		emit_definition(&t, (struct ipc_def){ .call = IPC_DEF_OBJECT, .thread = 1 }, text);
		poll_some(1);
		assert_int_equal(noted.definitions, room + 1);
		assert_string_equal(noted.text, text);
	}
	assert_all_arrived(0);
}

static void test_definition_beyond_the_chunk_is_rejected(void **state)
{
	(void)state;
	struct ring_thread t = { 0 };
	attach();
	while (!t.slots || t.next != CHUNK_SLOTS - RING_RESERVE - 3)
		emit(&t, 1);
	struct ipc_event *slot = ring_begin(&ring, &t, 1);
	fill(slot, 1, 0);
	((struct ipc_def *)slot)->call = IPC_DEF_OBJECT;
	((struct ipc_def *)slot)->text = 4000;
	ring_publish(&t, slot);
	emit(&t, 1);
	poll_some(2);
	assert_int_equal(noted.loss[IPC_REASON_rejected], 1);
	assert_int_equal(noted.definitions, 0);
	assert_all_arrived(0);
}

/* --- tests: nothing is trusted --- */

static uint64_t random_word(void)
{
	uint64_t word = (uint64_t)random() << 42 ^ (uint64_t)random() << 21 ^ (uint64_t)random();
	switch (random() % 4) {
	case 0:
		return word;
	case 1:
		return word & 0xff;
	case 2:
		return (uint64_t)getpid() << 32 | (word & 3);
	default:
		return 1ULL << word % 64;
	}
}

static void scramble(void *memory, size_t size, int words)
{
	while (words--)
		((uint64_t *)memory)[(size_t)random() % (size / 8)] ^= random_word();
}

/* Whole slots with nonsense in them, so that the nonsense is looked at. */
static void plant(uint32_t chunk)
{
	struct arena_control *control = &source->file.controls[chunk];
	struct ipc_event *slots = (void *)(source->file.slots + (size_t)chunk * CHUNK_BYTES);
	uint32_t base = (source->file.header->claims = source->file.header->claims + 1) * CHUNK_SLOTS + 1;
	scramble(slots, CHUNK_BYTES, 1000);
	for (uint32_t i = 0; i < CHUNK_SLOTS; i++) {
		slots[i].seq = base + i - (random() % 50 == 0);
		if (random() % 2) {
			slots[i].start = stamp() - random() % 1000000;
			slots[i].duration = random() % 100000;
		}
		if (random() % 4 == 0)
			slots[i].call = IPC_DEF_FIRST + random() % 6;
		else
			slots[i].call = random() % (IPC_CALLS + 2);
		if (random() % 8)
			((struct ipc_def *)&slots[i])->text = random() % 300;
	}
	control->image = random() % 4;
	control->base = base;
	control->owner = (uint64_t)(random() % 2 ? getpid() : random() % 100000) << 32 | (1 + random() % 2);
}

static void test_fuzzed_arena(void **state)
{
	enum { ROUNDS = 4000 };
	(void)state;
	srandom(7);
	struct arena_file *file = &source->file;
	for (int round = 0; round < ROUNDS; round++) {
		uint32_t chunk = random() % file->allocated;
		plant(chunk);
		if (round % 2)
			scramble(file->controls, file->allocated * sizeof(struct arena_control),
				 random() % 20);
		if (round % 3 == 0)
			scramble(file->header, sizeof(*file->header), random() % 20);
		if (round % 5 == 0)
			scramble(file->slots + (size_t)chunk * CHUNK_BYTES, CHUNK_BYTES, random() % 500);
		if (round % 40 == 0) {
			scramble(file->sync, sizeof(*file->sync), 20000);
			file->header->sync_lines = 1;
			source->sync_ns = 0;
		}
		noted.watermark = 0;
		assert_true(shim_poll(source, NULL, round == ROUNDS - 1) >= 0);
	}
	assert_true(noted.events > ROUNDS);
	assert_true(noted.loss[IPC_REASON_rejected] > ROUNDS);
}

static void count_in_line(struct arena_sync_line *line, uint32_t image, uint64_t sends, uint64_t receives)
{
	source->file.header->sync_lines = 1;
	line->first = stamp();
	line->from = 3;
	line->sends += sends;
	line->receives += receives;
	line->owner = 9;
	line->image = image;
}

/* Counters are told as they grow; those of a dead image are told to the end and free for another. Nonsense is
 * not believed. */
static void test_counters_of_locks(void **state)
{
	struct arena_sync *sync = source->file.sync;
	(void)state;
	sync->object[5].object = ipc_object(IPC_MECH_mutex, 77);
	sync->line[7].slot = 5;
	usleep(1000);
	count_in_line(&sync->line[7], 12, 100, 99);
	source->sync_ns = 0;
	poll_some(1);
	assert_int_equal(noted.last_count.image, 12);
	assert_int_equal(noted.last_count.from, 3);
	assert_int_equal(noted.last_count.object, sync->object[5].object);
	count_in_line(&sync->line[7], 12, 1, 2);
	source->over[source->overs++] = 12;
	clear_lines(source);
	assert_int_equal(noted.counts, 2);
	assert_int_equal(noted.sends, 101);
	assert_int_equal(noted.receives, 101);
	assert_int_equal(sync->line[7].image, 0);
	assert_int_equal(sync->line[7].owner, 0);
	count_in_line(&sync->line[7], 13, 5, UINT64_MAX / 2);
	sync->line[8] = sync->line[7];
	sync->line[8].slot = UINT32_MAX;
	source->sync_ns = 0;
	poll_some(1);
	assert_int_equal(noted.sends, 106);
	assert_int_equal(noted.receives, 101);
	assert_int_equal(noted.loss[IPC_REASON_rejected], 1);
	sync->line[7].sends = 1;
	source->sync_ns = 0;
	poll_some(1);
	assert_int_equal(noted.sends, 106);
	assert_int_equal(noted.loss[IPC_REASON_rejected], 2);
}

static void test_attach_refuses_what_is_no_arena(void **state)
{
	struct arena_header *h = source->file.header;
	struct ring_process p = { 0 };
	(void)state;
	assert_int_equal(ring_attach(&p, "/dev/shm/no such file", 1), -ENOENT);
	assert_int_equal(ring_attach(&p, "/dev/null", 1), -EPROTO);
	assert_int_equal(ring_attach(&p, "/proc/self/exe", 1), -ELOOP);
	h->chunks++;
	assert_int_equal(ring_attach(&p, source->file.path, 1), -EPROTO);
	h->chunks--;
	h->version++;
	assert_int_equal(ring_attach(&p, source->file.path, 1), -EPROTO);
	h->version--;
	h->magic[3] ^= 1;
	assert_int_equal(ring_attach(&p, source->file.path, 1), -EPROTO);
	assert_null(p.header);
}

/* --- tests: windows --- */

static unsigned int mappings(void)
{
	char line[512];
	unsigned int n = 0;
	FILE *maps = fopen("/proc/self/maps", "re");
	while (fgets(line, sizeof(line), maps))
		n += strstr(line, source->file.folder) != NULL;
	fclose(maps);
	return n;
}

static void test_windows_are_few_and_shrink(void **state)
{
	(void)state;
	struct ring_thread t = { 0 };
	unsigned int before = mappings();
	attach();
	for (int i = 0; i < 30 * CHUNK_SLOTS; i++)
		assert_true(emit(&t, 1));
	assert_in_range(windows_mapped(ring.windows, false), 2, WINDOWS_SPARE);
	ring_shrink(&ring);
	assert_int_equal(windows_mapped(ring.windows, false), 1);
	assert_int_equal(mappings(), before + 2);
	poll_some(2);
	for (int i = 0; i < 30 * CHUNK_SLOTS; i++)
		assert_true(emit(&t, 1));
	assert_int_equal(windows_mapped(ring.windows, false), WINDOWS_SPARE_LIMITED);
	poll_some(2);
	assert_all_arrived(0);
}

static void produce_without_address_space(uint32_t argument)
{
	struct ring_thread t[8] = { 0 };
	struct rlimit none = { 1 << 20, 1 << 20 };
	(void)argument;
	emit(&t[0], 1);
	setrlimit(RLIMIT_AS, &none);
	for (int i = 0; i < 200000; i++)
		emit(&t[i % 8], 1 + i % 8);
}

/* No new window can be had: one thread goes on in the window that is there, the others count. */
static void test_no_address_space(void **state)
{
	(void)state;
	source->file.header->block_us = 1000000;
	poll_while_alive(spawn(produce_without_address_space, 0));
	poll_until_free();
	assert_all_arrived(0);
	assert_int_equal(source->file.header->full, 0);
	uint64_t all = 0;
	for (int i = 1; i <= 8; i++)
		all += truth->published[i] + truth->refused[i];
	assert_int_equal(all, 200001);
	assert_true(noted.next[1] > 20000);
}

/* --- tests: the file, the clock --- */

static void test_file_is_hidden_and_removed(void **state)
{
	struct stat st;
	char error[256], folder[64];
	struct arena_file a;
	(void)state;
	mode_t mask = umask(0077);
	assert_int_equal(arena_file_open(&a, ARENA_CLOCK_TSC, 0, error, sizeof(error)), 0);
	umask(mask);
	strcpy(folder, a.folder);
	assert_int_equal(stat(a.folder, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0711);
	assert_int_equal(stat(a.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0666);
	assert_int_equal(st.st_size, a.header->size);
	assert_true(st.st_blocks * 512 >= 32 * CHUNK_BYTES);
	arena_file_close(&a);
	assert_int_equal(stat(folder, &st), -1);
	assert_int_equal(stat(source->file.path, &st), 0); /* a living recorder's */
}

static void test_killed_recorders_folder_is_removed(void **state)
{
	struct stat st;
	char error[256];
	struct arena_file a;
	char *folder = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	(void)state;
	pid_t pid = fork();
	if (pid == 0) {
		arena_file_open(&a, ARENA_CLOCK_TSC, 0, error, sizeof(error));
		strcpy(folder, a.folder);
		_exit(0);
	}
	wait_for(pid);
	assert_int_equal(stat(folder, &st), 0);
	assert_int_equal(arena_file_open(&a, ARENA_CLOCK_TSC, 0, error, sizeof(error)), 0);
	assert_int_equal(stat(folder, &st), -1);
	arena_file_close(&a);
	munmap(folder, 4096);
}

static void test_survivors_keep_only_their_chunks(void **state)
{
	(void)state;
	struct stat st;
	struct ring_thread t = { 0 };
	attach();
	emit(&t, 1);
	int fd = open(source->file.path, O_RDONLY | O_CLOEXEC);
	shim_poll(source, NULL, true);
	assert_false(ring_claim(&ring, &(struct ring_thread){ 0 }));
	arena_file_close(&source->file);
	emit(&t, 1); /* into memory that is still there */
	fstat(fd, &st);
	close(fd);
	assert_true(st.st_blocks * 512 < 12 * CHUNK_BYTES);
}

/* A kernel that slews its clock by up to 500 ppm, pairs with 20 ns of noise, polls 1 to 20 ms apart. */
static void test_clock_follows_a_slewed_clock(void **state)
{
	static struct clock c;
	double rate = 0.4, kernel = 1e12, worst = 0;
	uint64_t ticks = 1ULL << 40, previous = 0;
	(void)state;
	srandom(3);
	memset(&c, 0, sizeof(c));
	c.kind = ARENA_CLOCK_TSC;
	c.first = c.base = c.next_base = (struct clock_pair){ ticks, kernel };
	for (int poll = 0; poll < 20000; poll++) {
		uint64_t step = 2500000 + random() % 47500000;
		if (poll % 500 == 0)
			rate = 0.4 * (1 + (random() % 1001 - 500) * 1e-7);
		ticks += step;
		kernel += step * rate;
		clock_feed(&c, (struct clock_pair){ ticks, kernel + random() % 41 - 20 });
		uint64_t now = clock_ns(&c, ticks);
		double error = (double)(int64_t)(now - (uint64_t)kernel);
		if (poll % 500 > 200 && (error > worst || -error > worst))
			worst = error > 0 ? error : -error;
		assert_true(now > previous);
		assert_true(clock_ns(&c, ticks - 3) <= now && now <= clock_ns(&c, ticks + 3));
		previous = now;
	}
	assert_true(worst < 500);
	uint64_t old = clock_ns(&c, ticks - 1000000), sorted = 0;
	clock_feed(&c, (struct clock_pair){ ticks + 1000000, kernel + 1000000 * rate + 300 });
	assert_int_equal(clock_ns(&c, ticks - 1000000), old);
	for (uint64_t at = 1ULL << 40; at < ticks; at += ticks / 100000) {
		assert_true(clock_ns(&c, at) >= sorted);
		sorted = clock_ns(&c, at);
	}
	clock_feed(&c, (struct clock_pair){ ticks + 2000000, kernel + 5e9 }); /* the machine slept */
	assert_int_equal(clock_ns(&c, ticks + 2000000), (uint64_t)(kernel + 5e9));
}

static void test_clock_agrees_with_the_kernel(void **state)
{
	(void)state;
	if (clock_choose() != ARENA_CLOCK_TSC)
		skip();
	int64_t worst = 0;
	for (int i = 0; i < 300; i++) {
		usleep(1000);
		clock_sample(&source->clock);
		uint64_t before = ring_monotonic_ns(), ticks = arch_ticks(), after = ring_monotonic_ns();
		uint64_t ns = clock_ns(&source->clock, ticks);
		int64_t error = ns < before ? (int64_t)(before - ns) : ns > after ? (int64_t)(ns - after) : 0;
		worst = error > worst ? error : worst;
	}
	assert_true(worst < 1000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(int argc, char **argv)
{
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	const struct CMUnitTest tests[] = {
		TEST(killed_producers_lose_nothing),
		TEST(threads_at_full_speed),
		TEST(short_threads_share_chunks),
		TEST(handlers_record_in_the_middle),
		TEST(handlers_on_an_alternate_stack),
		TEST(handlers_jump_out),
		TEST(full_arena_counts),
		TEST(waiting_claim_gets_a_freed_chunk),
		TEST(arena_grows),
		TEST(fork_child_takes_its_own_chunk),
		TEST(fork_in_the_middle_of_a_record),
		TEST(fork_in_the_middle_of_a_claim),
		TEST(death_inside_a_call_is_told),
		TEST(exit_is_not_told_twice),
		TEST(child_of_a_long_fork_is_alive),
		TEST(exec_frees_the_old_image),
		TEST(reused_pid_ends_the_old_process_first),
		TEST(death_in_the_middle_of_a_claim),
		TEST(watermark_waits_for_a_record_under_way),
		TEST(definitions_at_the_end_of_a_chunk),
		TEST(definition_beyond_the_chunk_is_rejected),
		TEST(fuzzed_arena),
		TEST(counters_of_locks),
		TEST(attach_refuses_what_is_no_arena),
		TEST(windows_are_few_and_shrink),
		TEST(no_address_space),
		TEST(file_is_hidden_and_removed),
		TEST(killed_recorders_folder_is_removed),
		TEST(survivors_keep_only_their_chunks),
		TEST(clock_follows_a_slewed_clock),
		TEST(clock_agrees_with_the_kernel),
	};
	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
