// SPDX-License-Identifier: BSD-2-Clause
/* Functions of names.def: those of its rows, and those that are special but have nothing to do with processes
 * (children.c) or handlers (handlers.c). */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
#include <asm/termbits.h>
#include <asm/ioctls.h>

#include "names.h"
#include "sync.h"

void *names_next[NAMES];

static const char *const texts[NAMES] = {
#define NAME(name, ...) [NAME_##name] = #name,
#define SPECIAL(name)	[NAME_##name] = #name,
#include "names.def"
#undef NAME
#undef SPECIAL
};

static long missing(void)
{
	errno = ENOSYS;
	return -1;
}

void *names_find(enum name name)
{
	void *found = symbols_look_up(texts[name]);
	return found ? names_next[name] = found : (void *)missing;
}

/* The rows. The functions have names of their own in C, where libc's headers may declare the others. */
#define NAME(name, gives, nr, ...)                                                                           \
	PUBLIC long own_##name(long a, long b, long c, long d, long e, long f) __asm__(#name);               \
	PUBLIC long own_##name(long a, long b, long c, long d, long e, long f)                               \
	{                                                                                                    \
		struct hook_registers r = { { __VA_ARGS__ }, nr };                                           \
		uintptr_t frame = (uintptr_t)__builtin_frame_address(0);                                     \
		long first = r.arg[0];                                                                       \
		if (name_passes(nr, first))                                                                  \
			return name_next(NAME_##name)(a, b, c, d, e, f);                                     \
		hook_entry(&r, frame);                                                                       \
		long result = name_next(NAME_##name)(a, b, c, d, e, f);                                      \
		name_returns(name_result(gives, result), frame, nr, first);                                  \
		return result;                                                                               \
	}
#define SPECIAL(name)
#include "names.def"
#undef NAME
#undef SPECIAL

/* What libc did by itself, told as the call that does the same. */
static void opened(long fd, uintptr_t frame)
{
	struct hook_registers r = { { AT_FDCWD, (long)"", O_RDWR }, __NR_openat };
	name_begins(&r, frame);
	name_returns(fd, frame, r.nr, AT_FDCWD);
}

static void closed(long fd, uintptr_t frame)
{
	struct hook_registers r = { { fd }, __NR_close };
	name_begins(&r, frame);
	name_returns(0, frame, r.nr, fd);
}

/* Input, output and errors are others now. */
static void standard_closed(uintptr_t frame)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		closed(fd, frame);
}

/* --- transfers and descriptors --- */

OWN(ssize_t, __recvfrom_chk, int fd, void *buffer, size_t size, size_t room, int flags, void *address,
    uint32_t *length)
{
	ssize_t (*next)(int, void *, size_t, size_t, int, void *, uint32_t *) =
		(void *)name_next(NAME___recvfrom_chk);
	struct hook_registers r = { { fd, (long)buffer, (long)size, flags, (long)address, (long)length },
				    __NR_recvfrom };
	name_begins(&r, FRAME);
	ssize_t result = next(fd, buffer, size, room, flags, address, length);
	name_returns(name_result(LONG, result), FRAME, r.nr, fd);
	return result;
}

INLINE int lock_file(enum name name, long fd, long command, long length)
{
	struct flock lock = { .l_type = command == F_ULOCK ? F_UNLCK : F_WRLCK,
			      .l_whence = SEEK_CUR,
			      .l_len = length };
	struct hook_registers r = { { fd, command == F_LOCK ? F_SETLKW : F_SETLK, (long)&lock }, __NR_fcntl };
	bool tells = command == F_LOCK || command == F_TLOCK || command == F_ULOCK;
	if (tells)
		name_begins(&r, FRAME);
	long result = name_next(name)(fd, command, length, 0, 0, 0);
	if (tells)
		name_returns(name_result(INT, result), FRAME, r.nr, fd);
	return (int)result;
}

OWN(int, lockf, int fd, int command, long length)
{
	return lock_file(NAME_lockf, fd, command, length);
}

OWN(int, lockf64, int fd, int command, long length)
{
	return lock_file(NAME_lockf64, fd, command, length);
}

OWN(int, fclose, FILE *f)
{
	struct hook_registers r = { { f->_fileno }, __NR_close };
	bool has = f->_fileno >= 0;
	if (has)
		name_begins(&r, FRAME);
	long result = name_next(NAME_fclose)((long)f, 0, 0, 0, 0, 0);
	if (has)
		name_returns(name_result(INT, result), FRAME, r.nr, r.arg[0]);
	return (int)result;
}

INLINE FILE *reopen(enum name name, const char *path, const char *mode, FILE *f)
{
	if (f->_fileno >= 0)
		closed(f->_fileno, FRAME);
	return (FILE *)name_next(name)((long)path, (long)mode, (long)f, 0, 0, 0);
}

OWN(FILE *, freopen, const char *path, const char *mode, FILE *f)
{
	return reopen(NAME_freopen, path, mode, f);
}

OWN(FILE *, freopen64, const char *path, const char *mode, FILE *f)
{
	return reopen(NAME_freopen64, path, mode, f);
}

OWN(int, eventfd_read, int fd, uint64_t *value)
{
	struct hook_registers r = { { fd, (long)value, sizeof(*value) }, __NR_read };
	name_begins(&r, FRAME);
	int result = (int)name_next(NAME_eventfd_read)(fd, (long)value, 0, 0, 0, 0);
	name_returns(result ? -(long)errno : (long)sizeof(*value), FRAME, r.nr, fd);
	return result;
}

OWN(int, eventfd_write, int fd, uint64_t value)
{
	struct hook_registers r = { { fd, (long)&value, sizeof(value) }, __NR_write };
	name_begins(&r, FRAME);
	int result = (int)name_next(NAME_eventfd_write)(fd, (long)value, 0, 0, 0, 0);
	name_returns(result ? -(long)errno : (long)sizeof(value), FRAME, r.nr, fd);
	return result;
}

/* --- terminals --- */

OWN(int, openpty, int *master, int *slave, char *name, const void *termios, const void *size)
{
	int result = (int)name_next(NAME_openpty)((long)master, (long)slave, (long)name, (long)termios,
						  (long)size, 0);
	if (!result) {
		opened(*master, FRAME);
		opened(*slave, FRAME);
	}
	return result;
}

OWN(int, login_tty, int fd)
{
	int result = (int)name_next(NAME_login_tty)(fd, 0, 0, 0, 0, 0);
	if (!result)
		standard_closed(FRAME);
	if (!result && fd > STDERR_FILENO)
		closed(fd, FRAME);
	return result;
}

OWN(int, forkpty, int *master, char *name, const void *termios, const void *size)
{
	struct hook_registers r = { { SIGCHLD }, __NR_clone };
	name_begins(&r, FRAME);
	int pid = (int)name_next(NAME_forkpty)((long)master, (long)name, (long)termios, (long)size, 0, 0);
	name_returns(name_result(INT, pid), FRAME, r.nr, r.arg[0]);
	if (!pid)
		standard_closed(FRAME);
	else if (pid > 0)
		opened(*master, FRAME);
	return pid;
}

OWN(int, daemon, int stays, int keeps)
{
	struct hook_registers r = { { SIGCHLD }, __NR_clone };
	name_begins(&r, FRAME);
	int result = (int)name_next(NAME_daemon)(stays, keeps, 0, 0, 0, 0);
	name_returns(name_result(INT, result), FRAME, r.nr, r.arg[0]);
	if (!result && !keeps)
		standard_closed(FRAME);
	return result;
}

/* --- other processes' memory --- */

/* libc gives what was read as the result, and clears errno. */
OWN(long, ptrace, int request, int pid, void *address, void *data)
{
	enum { PEEK_FIRST = 1, PEEK_LAST = 3 };
	bool peeks = request >= PEEK_FIRST && request <= PEEK_LAST;
	struct hook_registers r = { { request, pid, (long)address, (long)data }, __NR_ptrace };
	name_begins(&r, FRAME);
	long result = name_next(NAME_ptrace)(request, pid, (long)address, (long)data, 0, 0);
	bool good = result != -1 || (peeks && !errno);
	name_returns(!good ? -(long)errno : peeks ? 0 : result, FRAME, r.nr, request);
	return result;
}

/* --- any call --- */

long names_syscall(long nr, long a, long b, long c, long d, long e, long f);
long names_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
	long (*next)(long, long, long, long, long, long, long) = (void *)name_next(NAME_syscall);
	struct hook_registers r = { { a, b, c, d, e, f }, nr };
	if (nr >= 0 && nr < IPC_NUMBERS && name_passes(nr, a))
		return next(nr, a, b, c, d, e, f);
	name_begins(&r, FRAME);
	long result = next(nr, r.arg[0], r.arg[1], r.arg[2], r.arg[3], r.arg[4], r.arg[5]);
	name_returns(name_result(LONG, result), FRAME, nr, a);
	return result;
}

/* --- the ends of threads and of the process --- */

static unsigned int thread_key;
static int (*set_specific)(unsigned int, const void *);

/* The last but for other keys' destructors, of the last round: there may be calls before. */
static void thread_ends(void *round)
{
	enum { ROUNDS = 4 }; /* PTHREAD_DESTRUCTOR_ITERATIONS */
	struct hook_registers r = { { 0 }, __NR_exit | HOOK_NO_RETURN };
	if ((uintptr_t)round < ROUNDS)
		set_specific(thread_key, (char *)round + 1);
	else
		name_begins(&r, FRAME);
}

static void thread_begins(struct shim_thread *t)
{
	(void)t;
	set_specific(thread_key, (void *)1);
}

/* exit(3), or a return from main. Registered before all others, so called behind them. */
static void process_ends(int status, void *nothing)
{
	struct hook_registers r = { { status }, __NR_exit_group | HOOK_NO_RETURN };
	(void)nothing;
	name_begins(&r, FRAME);
}

bool names_start(void)
{
	enum { WITHOUT_MEMORY = 32 }; /* keys below need none to be allocated */
	int (*on_end)(void (*)(int, void *), void *) = symbols_look_up("on_exit");
	int (*create_key)(unsigned int *, void (*)(void *)) = symbols_look_up("pthread_key_create");
	set_specific = symbols_look_up("pthread_setspecific");
	if (set_specific && create_key && !create_key(&thread_key, thread_ends) &&
	    thread_key < WITHOUT_MEMORY)
		shim_thread_begins = thread_begins;
	if (on_end)
		on_end(process_ends, NULL);
	return true;
}
