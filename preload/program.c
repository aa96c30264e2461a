// SPDX-License-Identifier: BSD-2-Clause
#include <elf.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>

#include "arch.h"
#include "program.h"
#include "text.h"

enum { HEAD = 1024, SCRIPT_DEPTH = 5 };
static const char interpreter[] = ARCH_INTERPRETER;

/* Whether ld.so will ignore LD_PRELOAD: the exec changes the user or group, or grants capabilities. `fd` is
 * negative where the program may be executed but not read. */
static bool privileged(int dirfd, const char *path, long fd)
{
	struct stat st;
	char capability[64];
	if (raw_syscall(__NR_newfstatat, dirfd, path, &st, 0))
		return false;
	long uid = raw_syscall(__NR_getuid), euid = raw_syscall(__NR_geteuid);
	long gid = raw_syscall(__NR_getgid), egid = raw_syscall(__NR_getegid);
	if (st.st_mode & S_ISUID)
		euid = st.st_uid;
	if ((st.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
		egid = st.st_gid;
	if (uid != euid || gid != egid)
		return true;
	return uid && fd >= 0 &&
	       raw_syscall(__NR_fgetxattr, fd, "security.capability", capability, sizeof(capability)) > 0;
}

/* Reads from the file's head in memory where it holds the part, else from the file. */
static bool read_part(int fd, const char *head, long n, uint64_t offset, void *out, size_t size)
{
	if (offset > (uint64_t)n || size > (uint64_t)n - offset)
		return raw_syscall(__NR_pread64, fd, out, size, offset) == (long)size;
	for (size_t i = 0; i < size; i++)
		((char *)out)[i] = head[offset + i];
	return true;
}

static enum ipc_reason check_elf(int fd, const char *head, long n)
{
	const Elf64_Ehdr *ehdr = (const void *)head;
	if (n < (long)sizeof(*ehdr) || head[EI_CLASS] != ELFCLASS64 || ehdr->e_machine != ARCH_MACHINE)
		return IPC_REASON_other_arch;
	for (int i = 0; i < ehdr->e_phnum; i++) {
		Elf64_Phdr phdr;
		char path[sizeof(interpreter)];
		if (!read_part(fd, head, n, ehdr->e_phoff + i * sizeof(phdr), &phdr, sizeof(phdr)))
			return IPC_REASON_none;
		if (phdr.p_type != PT_INTERP)
			continue;
		if (phdr.p_filesz != sizeof(path) ||
		    !read_part(fd, head, n, phdr.p_offset, path, sizeof(path)))
			return IPC_REASON_other_libc;
		path[sizeof(path) - 1] = '\0';
		return text_equal(path, interpreter) ? IPC_REASON_none : IPC_REASON_other_libc;
	}
	return IPC_REASON_static_exe;
}

/* Cuts the interpreter's path out of a script's first line. */
static const char *script_interpreter(char *head, long n)
{
	head[n < HEAD ? n : HEAD - 1] = '\0';
	char *path = head + 2;
	while (*path == ' ' || *path == '\t')
		path++;
	for (char *p = path; *p; p++)
		if (*p == ' ' || *p == '\t' || *p == '\n')
			*p = '\0';
	return path;
}

enum ipc_reason program_check(int dirfd, const char *path)
{
	char head[HEAD] __attribute__((aligned(8)));
	for (int depth = 0; depth < SCRIPT_DEPTH; depth++) {
		long fd = raw_syscall(__NR_openat, dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		if (fd < 0)
			return privileged(dirfd, path, fd) ? IPC_REASON_setuid : IPC_REASON_none;
		enum ipc_reason reason = IPC_REASON_none;
		bool set = privileged(dirfd, path, fd); /* before `path` may be overwritten */
		long n = raw_syscall(__NR_pread64, fd, head, sizeof(head), 0);
		bool script = n > 2 && head[0] == '#' && head[1] == '!';
		if (!script && set)
			reason = IPC_REASON_setuid;
		else if (n > SELFMAG && head[0] == ELFMAG0 && head[1] == ELFMAG1 && head[2] == ELFMAG2)
			reason = check_elf((int)fd, head, n);
		raw_syscall(__NR_close, fd);
		if (!script)
			return reason;
		dirfd = AT_FDCWD;
		path = script_interpreter(head, n); /* in head, which is read again only after the open */
	}
	return IPC_REASON_none;
}
