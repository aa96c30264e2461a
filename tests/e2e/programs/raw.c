// SPDX-License-Identifier: BSD-2-Clause
/*
 * A program without libc, as Go's are: its own start, system calls of its own, threads by clone. Built with
 * -nostdlib -static. A thread and a forked child send over a pipe each what the main thread takes; then the
 * child and it talk over a socket pair. With an argument it executes that in place of ending.
 */
#include <asm/unistd.h>
#include <linux/sched.h>
#include <linux/wait.h>

enum { MESSAGES = 50, SIZE = 64, STACK = 16384, AF_UNIX = 1, SOCK_STREAM = 1 };

static char stack[STACK] __attribute__((aligned(16)));
static int from_thread[2];
static volatile int thread_ended = 1;

static long call(long nr, long a, long b, long c, long d, long e)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "0"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	return ret;
}

static void end(int status)
{
	for (;;)
		call(__NR_exit_group, status, 0, 0, 0, 0);
}

static void send_all(int fd)
{
	static const char message[SIZE];

	for (int i = 0; i < MESSAGES; i++)
		if (call(__NR_write, fd, (long)message, SIZE, 0, 0) != SIZE)
			end(2);
}

static void take_all(int fd)
{
	char message[SIZE];

	for (int i = 0; i < MESSAGES; i++)
		for (long n = 0, more; n < SIZE; n += more)
			if ((more = call(__NR_read, fd, (long)message + n, SIZE - n, 0, 0)) <= 0)
				end(3);
}

static void in_thread(void)
{
	send_all(from_thread[1]);
	for (;;)
		call(__NR_exit, 0, 0, 0, 0, 0);
}

/* The new thread's first instructions run on a stack on which there is nothing to return to. */
static void start_thread(void)
{
	const long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
			   CLONE_CHILD_CLEARTID;
	register long r10 __asm__("r10") = (long)&thread_ended;
	long ret;

	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "call *%[run]\n"
			 "1:"
			 : "=a"(ret)
			 : "0"(__NR_clone), "D"(flags), "S"(stack + STACK), "d"(0),
			   "r"(r10), [run] "r"(in_thread)
			 : "rcx", "r11", "memory");
	if (ret < 0)
		end(4);
}

static void talk(const int *pair, int child)
{
	int out[2];

	if (call(__NR_pipe2, (long)out, 0, 0, 0, 0))
		end(5);
	long pid = call(__NR_fork, 0, 0, 0, 0, 0);
	if (!pid) {
		send_all(out[1]);
		take_all(pair[1]);
		end(child);
	}
	take_all(out[0]);
	send_all(pair[0]);
	int status = -1;
	if (call(__NR_wait4, pid, (long)&status, 0, 0, 0) != pid || status != child << 8)
		end(6);
}

__attribute__((used)) static void begin(long *sp)
{
	char **argv = (char **)(sp + 1), **envp = argv + sp[0] + 1;
	int pair[2];

	if (call(__NR_pipe2, (long)from_thread, 0, 0, 0, 0) ||
	    call(__NR_socketpair, AF_UNIX, SOCK_STREAM, 0, (long)pair, 0))
		end(1);
	start_thread();
	take_all(from_thread[0]);
	while (thread_ended)
		call(__NR_sched_yield, 0, 0, 0, 0, 0);
	talk(pair, 7);
	if (sp[0] > 1)
		call(__NR_execve, (long)argv[1], (long)(argv + 1), (long)envp, 0, 0);
	end(sp[0] > 1 ? 8 : 0);
}

__asm__(".globl _start\n_start: xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n call begin\n");
