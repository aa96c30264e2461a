// SPDX-License-Identifier: BSD-2-Clause
/*
 * Processes by name: fork's kin that return twice, exec, posix_spawn, and the ways to end. What libc executes
 * for exec gets the environment that the hooks have made; of posix_spawn, whose child runs nothing of ours,
 * the new program tells itself that it is our child.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

#include "names.h"
#include "text.h"

/* --- what returns twice: from stubs, so that nothing of ours stands in the stack --- */

static void before(long nr, const long arg[6], uintptr_t stack)
{
	struct hook_registers r = { { arg[0], arg[1], arg[2], arg[3], arg[4], arg[5] }, nr | HOOK_NO_RETURN };
	name_begins(&r, stack);
}

void *names_before_vfork(const long arg[6], uintptr_t stack)
{
	before(__NR_vfork, arg, stack);
	return (void *)name_next(NAME_vfork);
}

/* clone(function, stack, flags, ...) */
void *names_before_clone(const long arg[6], uintptr_t stack)
{
	const long kernel[6] = { arg[2], arg[1] };
	before(__NR_clone, kernel, stack);
	return (void *)name_next(NAME_clone);
}

/* syscall(number, ...) */
void *names_before_syscall(const long arg[6], uintptr_t stack)
{
	const long kernel[6] = { arg[1], arg[2], arg[3], arg[4], arg[5] };
	before(arg[0], kernel, stack);
	return (void *)name_next(NAME_syscall);
}

/* --- exec --- */

/* The program that a name without a slash means: what libc will find first. */
static const char *find_program(const char *file, char path[SHIM_PATH])
{
	const char *list = "/bin:/usr/bin", *const end = path + SHIM_PATH - 1;
	for (const char *p = file; *p; p++)
		if (*p == '/')
			return file;
	for (char **e = environ; e && *e; e++)
		if (text_after(*e, "PATH="))
			list = text_after(*e, "PATH=");
	for (;; list++) {
		char *at = path;
		for (; *list && *list != ':'; list++)
			if (at < end)
				*at++ = *list;
		at = at > path ? text_put(at, end, "/") : at;
		*text_put(at, end, file) = '\0';
		if (!raw_syscall(__NR_faccessat, AT_FDCWD, path, X_OK))
			return path;
		if (!*list)
			return file;
	}
}

/* `as`: how libc is told which program, `path`: which one it is. */
INLINE int exec_path(enum name name, const char *as, const char *path, char *const *argv, char *const *envp)
{
	struct hook_registers r = { { (long)path, (long)argv, (long)envp }, __NR_execve };
	name_begins(&r, FRAME);
	int result = (int)name_next(name)((long)as, (long)argv, r.arg[2], 0, 0, 0);
	name_returns(name_result(INT, result), FRAME, r.nr, (long)path);
	return result;
}

static int exec_file(const char *file, char *const *argv, char *const *envp)
{
	char path[SHIM_PATH];
	return exec_path(NAME_execvpe, file, find_program(file, path), argv, envp);
}

OWN(int, execve, const char *path, char *const *argv, char *const *envp)
{
	return exec_path(NAME_execve, path, path, argv, envp);
}

OWN(int, execv, const char *path, char *const *argv)
{
	return exec_path(NAME_execve, path, path, argv, environ);
}

OWN(int, execvpe, const char *file, char *const *argv, char *const *envp)
{
	return exec_file(file, argv, envp);
}

OWN(int, execvp, const char *file, char *const *argv)
{
	return exec_file(file, argv, environ);
}

OWN(int, execveat, int folder, const char *path, char *const *argv, char *const *envp, int flags)
{
	struct hook_registers r = { { folder, (long)path, (long)argv, (long)envp, flags }, __NR_execveat };
	name_begins(&r, FRAME);
	int result = (int)name_next(NAME_execveat)(folder, (long)path, (long)argv, r.arg[3], flags, 0);
	name_returns(name_result(INT, result), FRAME, r.nr, folder);
	return result;
}

OWN(int, fexecve, int fd, char *const *argv, char *const *envp)
{
	struct hook_registers r = { { fd, (long)"", (long)argv, (long)envp, AT_EMPTY_PATH }, __NR_execveat };
	name_begins(&r, FRAME);
	int result = (int)name_next(NAME_fexecve)(fd, (long)argv, r.arg[3], 0, 0, 0);
	name_returns(name_result(INT, result), FRAME, r.nr, fd);
	return result;
}

/* Those that take their arguments one by one, the last NULL. */
static size_t count(const char *first, va_list list)
{
	size_t n = 0;
	for (const char *a = first; a; a = va_arg(list, const char *))
		n++;
	return n;
}

/* Returns the next argument behind the NULL. */
static char *const *collect(char **argv, const char *first, va_list list, bool has_environment)
{
	const char *a = first;
	for (; a; a = va_arg(list, const char *))
		*argv++ = (char *)a;
	*argv = NULL;
	return has_environment ? va_arg(list, char *const *) : environ;
}

#define LISTED(name, exec, has_environment)                                                                  \
	OWN(int, name, const char *path, const char *first, ...)                                             \
	{                                                                                                    \
		va_list list;                                                                                \
		va_start(list, first);                                                                       \
		char **argv = __builtin_alloca((count(first, list) + 1) * sizeof(char *));                   \
		va_end(list);                                                                                \
		va_start(list, first);                                                                       \
		char *const *envp = collect(argv, first, list, has_environment);                             \
		va_end(list);                                                                                \
		return exec(path, argv, envp);                                                               \
	}
LISTED(execl, own_execve, false)
LISTED(execle, own_execve, true)
LISTED(execlp, exec_file, false)

/* --- posix_spawn --- */

INLINE int spawn(enum name name, const char *path, pid_t *pid, const char *as, const void *actions,
		 const void *attributes, char *const *argv, char *const *envp)
{
	struct hook_registers r = { { SIGCHLD }, __NR_clone };
	name_function next = name_next(name);
	pid_t own;
	pid = pid ? pid : &own;
	bool records = recording();
	if (!shim.by_names || !(records || shim.passes))
		return (int)next((long)pid, (long)as, (long)actions, (long)attributes, (long)argv,
				 (long)envp);
	struct hook_environment made = hook_spawn_environment(&shim_self, path, envp);
	if (records)
		hook_entry(&r, FRAME);
	int error = (int)next((long)pid, (long)as, (long)actions, (long)attributes, (long)argv,
			      (long)(made.envp ? made.envp : envp));
	if (records)
		name_returns(error ? -error : *pid, FRAME, r.nr, r.arg[0]);
	if (made.envp)
		raw_syscall(__NR_munmap, made.envp, made.size);
	return error;
}

OWN(int, posix_spawn, pid_t *pid, const char *path, const void *actions, const void *attributes,
    char *const *argv, char *const *envp)
{
	return spawn(NAME_posix_spawn, path, pid, path, actions, attributes, argv, envp);
}

OWN(int, posix_spawnp, pid_t *pid, const char *file, const void *actions, const void *attributes,
    char *const *argv, char *const *envp)
{
	char path[SHIM_PATH];
	return spawn(NAME_posix_spawnp, find_program(file, path), pid, file, actions, attributes, argv, envp);
}

/* --- the end --- */

#define END(name)                                                                                            \
	OWN(_Noreturn void, name, int status)                                                                \
	{                                                                                                    \
		const long arg[6] = { status };                                                              \
		before(__NR_exit_group, arg, FRAME);                                                         \
		for (;;)                                                                                     \
			name_next(NAME_##name)(status, 0, 0, 0, 0, 0);                                       \
	}
END(_exit)
END(_Exit)
END(quick_exit)
