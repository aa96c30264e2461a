// SPDX-License-Identifier: BSD-2-Clause
/*
 * Writes to a pipe and reads it under a seccomp filter. First argument: `prctl` or `seccomp`, how the filter
 * is installed. Second: `kill`, it lets read, write and exit_group pass and kills at anything else; `refuse`,
 * it refuses ptrace alone; `lock`, it kills at lseek, and a file is locked from where it is read.
 */
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PASS(number)                                                                                         \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

int main(int argc, char **argv)
{
	static struct sock_filter kills[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		PASS(SYS_read),
		PASS(SYS_write),
		PASS(SYS_exit_group),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	static struct sock_filter refuses[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ptrace, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
	};
	static struct sock_filter kills_seek[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_lseek, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog program = { sizeof(refuses) / sizeof(*refuses), refuses };
	char byte = 'x';
	int fds[2];
	if (argc != 3 || pipe(fds))
		return 1;
	if (!strcmp(argv[2], "kill"))
		program = (struct sock_fprog){ sizeof(kills) / sizeof(*kills), kills };
	else if (!strcmp(argv[2], "lock"))
		program = (struct sock_fprog){ sizeof(kills_seek) / sizeof(*kills_seek), kills_seek };
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	long failed = strcmp(argv[1], "prctl") ? syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program)
					       : prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
	if (failed)
		return 2;
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_CUR };
	if (!strcmp(argv[2], "lock") && fcntl(open("/proc/self/exe", O_RDONLY), F_SETLK, &lock))
		return 4;
	for (int i = 0; i < 3000; i++)
		if (write(fds[1], &byte, 1) != 1 || read(fds[0], &byte, 1) != 1)
			return 3;
	_exit(write(1, "done\n", 5) != 5);
}
