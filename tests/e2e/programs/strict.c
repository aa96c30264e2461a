// SPDX-License-Identifier: BSD-2-Clause
/*
 * Goes where the time-stamp counter faults, or all but four system calls: first argument `prctl` or
 * `seccomp`, strict mode; `tsc`, the counter alone; `dispatch`, system calls from outside libc. Talks over a
 * pipe before and after. `fork`: a child does so, with the counter, and its parent goes on.
 */
#include <errno.h>
#include <link.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int ends[2];

static int talk(int times)
{
	char byte = 'x';
	for (int i = 0; i < times; i++)
		if (write(ends[1], &byte, 1) != 1 || read(ends[0], &byte, 1) != 1)
			return 0;
	return 1;
}

static int find_code(struct dl_phdr_info *library, size_t size, void *range)
{
	uintptr_t *code = range, inside = (uintptr_t)&__errno_location;
	(void)size;
	for (int i = 0; i < library->dlpi_phnum; i++) {
		const ElfW(Phdr) *part = &library->dlpi_phdr[i];
		uintptr_t start = library->dlpi_addr + part->p_vaddr;
		if (part->p_flags & PF_X && inside - start < part->p_memsz) {
			code[0] = start;
			code[1] = part->p_memsz;
		}
	}
	return 0;
}

static int dispatch(void)
{
	static char others = SYSCALL_DISPATCH_FILTER_BLOCK;
	uintptr_t code[2] = { 0 };
	dl_iterate_phdr(find_code, code);
	return prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, code[0], code[1], &others);
}

static int enter(const char *how)
{
	if (!strcmp(how, "dispatch"))
		return dispatch();
	if (!strcmp(how, "prctl"))
		return prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
	if (!strcmp(how, "seccomp"))
		return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, 0);
	return prctl(PR_SET_TSC, PR_TSC_SIGSEGV);
}

int main(int argc, char **argv)
{
	int status;
	if (argc != 2 || pipe(ends) || !talk(100))
		return 1;
	pid_t child = strcmp(argv[1], "fork") ? 0 : fork();
	if (child > 0) {
		waitpid(child, &status, 0);
		return !talk(100) || WEXITSTATUS(status) != 7;
	}
	int well = !enter(argv[1]) && talk(100) && write(1, "done\n", 5) == 5;
	syscall(SYS_exit, well ? 7 : 2); /* exit_group is forbidden */
}
