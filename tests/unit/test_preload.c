// SPDX-License-Identifier: BSD-2-Clause
/*
 * The parts of the shim that run outside a traced program too: the scan of libc (truth: the symbols' own
 * addresses and sizes), the environment (truth: what a program must see), the judgement of a program's file
 * (truth: files made here and what this system has).
 */
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "arena.h"
#include "environment.h"
#include "program.h"
#include "scan.h"
#include "sites.h"

static struct ipc_site sites[ARENA_SITES_MAX];
static size_t count;
static struct scan_libc libc;
static void *libc_handle; /* not RTLD_DEFAULT: a sanitizer has its own of some */

static int scan(void **state)
{
	(void)state;
	struct link_map *map;
	libc_handle = dlopen("libc.so.6", RTLD_NOW);
	assert_int_equal(dlinfo(libc_handle, RTLD_DI_LINKMAP, &map), 0);
	assert_int_equal(scan_describe(&libc, map->l_addr), 0);
	count = scan_sites(&libc, sites, ARENA_SITES_MAX);
	return 0;
}

/* Whether a site of system call `nr` and this kind lies inside the function `name`. */
static bool has_site(const char *name, uint16_t nr, enum site_kind kind)
{
	Dl_info info;
	const ElfW(Sym) *symbol = NULL;
	void *address = dlvsym(libc_handle, name, "GLIBC_2.2.5");
	if (!address)
		address = dlsym(libc_handle, name);
	assert_non_null(address);
	assert_true(dladdr1(address, &info, (void **)&symbol, RTLD_DL_SYMENT));
	for (size_t i = 0; i < count; i++) {
		uintptr_t at = libc.base + sites[i].offset;
		if (at >= (uintptr_t)address && at < (uintptr_t)address + symbol->st_size &&
		    sites[i].nr == nr && sites[i].kind == kind)
			return true;
	}
	return false;
}

static void test_sites_of_transfers(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		uint16_t nr;
	} cancellable[] = { { "write", SYS_write },
			    { "pread64", SYS_pread64 },
			    { "pwrite64", SYS_pwrite64 },
			    { "readv", SYS_readv },
			    { "writev", SYS_writev },
			    { "preadv", SYS_preadv },
			    { "pwritev", SYS_pwritev },
			    { "splice", SYS_splice },
			    { "tee", SYS_tee },
			    { "vmsplice", SYS_vmsplice },
			    { "close", SYS_close },
			    { "wait4", SYS_wait4 },
			    { "openat", SYS_openat },
			    { "msgsnd", SYS_msgsnd },
			    { "msgrcv", SYS_msgrcv },
			    { "mq_timedsend", SYS_mq_timedsend },
			    { "mq_timedreceive", SYS_mq_timedreceive } };
	assert_true(has_site("read", SYS_read, SITE_XOR));
	assert_true(has_site("read", SYS_read, SITE_ENABLE) && has_site("read", SYS_read, SITE_DISABLE));
	for (size_t i = 0; i < sizeof(cancellable) / sizeof(*cancellable); i++) {
		print_message("%s\n", cancellable[i].name);
		assert_true(has_site(cancellable[i].name, cancellable[i].nr, SITE_MOV));
		assert_true(has_site(cancellable[i].name, cancellable[i].nr, SITE_ENABLE));
		assert_true(has_site(cancellable[i].name, cancellable[i].nr, SITE_DISABLE));
	}
}

static void test_sites_of_the_rest(void **state)
{
	(void)state;
	assert_true(has_site("pipe", SYS_pipe2, SITE_MOV) || has_site("pipe", SYS_pipe, SITE_MOV));
	assert_true(has_site("pipe2", SYS_pipe2, SITE_MOV));
	assert_true(has_site("dup", SYS_dup, SITE_MOV));
	assert_true(has_site("dup2", SYS_dup2, SITE_MOV));
	assert_true(has_site("dup3", SYS_dup3, SITE_MOV));
	assert_true(has_site("sendfile", SYS_sendfile, SITE_MOV));
	assert_true(has_site("msgget", SYS_msgget, SITE_MOV));
	assert_true(has_site("msgctl", SYS_msgctl, SITE_MOV));
	assert_true(has_site("mq_open", SYS_mq_open, SITE_MOV));
	assert_true(has_site("semget", SYS_semget, SITE_MOV));
	assert_true(has_site("semctl", SYS_semctl, SITE_MOV));
	assert_true(has_site("semtimedop", SYS_semtimedop, SITE_MOV));
	assert_true(has_site("eventfd", SYS_eventfd2, SITE_MOV));
	assert_true(has_site("execve", SYS_execve, SITE_MOV));
	assert_true(has_site("execveat", SYS_execveat, SITE_MOV));
	assert_true(has_site("_Fork", SYS_clone, SITE_MOV));
	assert_true(has_site("vfork", SYS_vfork, SITE_PRE));
	assert_true(has_site("clone", SYS_clone, SITE_PRE));
	assert_true(has_site("_exit", SYS_exit_group, SITE_EXIT));
	assert_true(has_site("syscall", IPC_NO_NR, SITE_ANY));
}

/* Nothing that is patched may lie between enable and disable: there a thread may be unwound. */
static void test_windows_are_left_alone(void **state)
{
	(void)state;
	for (size_t i = 0; i + 1 < count; i++) {
		if (sites[i].kind != SITE_ENABLE)
			continue;
		assert_int_equal(sites[i + 1].kind, SITE_DISABLE);
		for (size_t k = 0; k < count; k++)
			assert_false(sites[k].offset > sites[i].offset &&
				     sites[k].offset < sites[i + 1].offset);
	}
}

static const struct environment ours = {
	.shim = "/lib/ours.so", .arena = "/dev/shm/x/arena", .image = 7, .more = ";9,4,5"
};

static char **build_of(char *const *envp, const struct environment *e)
{
	size_t size = environment_size(envp, e);
	char *memory = malloc(size + 8);
	memset(memory + size, 0x5a, 8);
	char **out = environment_write(memory, envp, e);
	for (int i = 0; i < 8; i++)
		assert_int_equal(memory[size + i], 0x5a);
	return out;
}

static char **build(char *const *envp)
{
	return build_of(envp, &ours);
}

static void test_environment(void **state)
{
	(void)state;
	char *plain[] = { "A=1", "B=2", NULL };
	char **out = build(plain);
	assert_ptr_equal(out[0], plain[0]);
	assert_ptr_equal(out[1], plain[1]);
	assert_string_equal(out[2], "LD_PRELOAD=/lib/ours.so");
	assert_string_equal(out[3], "IPCTRACE=/dev/shm/x/arena:7;9,4,5");
	assert_null(out[4]);
	free(out);

	out = build_of(plain, &(struct environment){ "/lib/ours.so", "/a", 4294967295, true, NULL });
	assert_string_equal(out[3], "IPCTRACE=/a:+4294967295");
	free(out);

	char *preloaded[] = { "LD_PRELOAD=a.so:b.so", "IPCTRACE=old:1", "Z=", NULL };
	out = build(preloaded);
	assert_string_equal(out[0], "LD_PRELOAD=a.so:b.so:/lib/ours.so");
	assert_string_equal(out[1], "Z=");
	assert_string_equal(out[2], "IPCTRACE=/dev/shm/x/arena:7;9,4,5");
	assert_null(out[3]);
	char **again = build(out);
	assert_string_equal(again[0], "LD_PRELOAD=a.so:b.so:/lib/ours.so");
	free(again);
	free(out);

	out = build(NULL);
	assert_string_equal(out[0], "LD_PRELOAD=/lib/ours.so");
	assert_null(out[2]);
	free(out);
}

static char folder[] = "/tmp/ipctrace-test-XXXXXX";

static const char *make_file(const char *name, const void *bytes, size_t n)
{
	static char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0755);
	assert_int_equal(write(fd, bytes, n), n);
	close(fd);
	return path;
}

struct small_program {
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdr;
	char interpreter[32];
};

static struct small_program small_program(const char *interpreter)
{
	struct small_program p = { .ehdr = { .e_ident = ELFMAG,
					     .e_machine = EM_X86_64,
					     .e_phoff = sizeof(Elf64_Ehdr),
					     .e_phnum = interpreter ? 1 : 0,
					     .e_phentsize = sizeof(Elf64_Phdr) } };
	p.ehdr.e_ident[EI_CLASS] = ELFCLASS64;
	if (interpreter) {
		p.phdr = (Elf64_Phdr){ .p_type = PT_INTERP,
				       .p_offset = offsetof(struct small_program, interpreter),
				       .p_filesz = strlen(interpreter) + 1 };
		strcpy(p.interpreter, interpreter);
	}
	return p;
}

static enum ipc_reason judge(const struct small_program *p)
{
	return program_check(AT_FDCWD, make_file("program", p, sizeof(*p)));
}

static void test_programs(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(folder));
	assert_int_equal(program_check(AT_FDCWD, "/bin/true"), IPC_REASON_none);
	assert_int_equal(program_check(AT_FDCWD, "/does/not/exist"), IPC_REASON_none);
	struct small_program p = small_program(NULL);
	assert_int_equal(judge(&p), IPC_REASON_static_exe);
	p = small_program("/lib/ld-musl-x86_64.so.1");
	assert_int_equal(judge(&p), IPC_REASON_other_libc);
	p = small_program("/lib64/ld-linux-x86-64.so.2");
	assert_int_equal(judge(&p), IPC_REASON_none);
	p.ehdr.e_ident[EI_CLASS] = ELFCLASS32;
	assert_int_equal(judge(&p), IPC_REASON_other_arch);
	p = small_program(NULL);
	p.ehdr.e_machine = EM_AARCH64;
	assert_int_equal(judge(&p), IPC_REASON_other_arch);

	/* a script is judged by its interpreter, through several lines of #! */
	p = small_program(NULL);
	char line[PATH_MAX + 8];
	int n = snprintf(line, sizeof(line), "#! %s -x\n", make_file("static", &p, sizeof(p)));
	n = snprintf(line, sizeof(line), "#!%s\n", make_file("inner", line, (size_t)n));
	assert_int_equal(program_check(AT_FDCWD, make_file("outer", line, (size_t)n)), IPC_REASON_static_exe);
	assert_int_equal(program_check(AT_FDCWD, make_file("text", "echo\n", 5)), IPC_REASON_none);
	int dir = open(folder, O_RDONLY | O_DIRECTORY);
	assert_int_equal(program_check(dir, "static"), IPC_REASON_static_exe);
	close(dir);
}

static void test_privileged_program(void **state)
{
	(void)state;
	if (getuid()) {
		print_message("SKIP: making a set-uid program needs root\n");
		skip();
	}
	struct small_program p = small_program("/lib64/ld-linux-x86-64.so.2");
	const char *path = make_file("setuid", &p, sizeof(p));
	assert_int_equal(chmod(path, 04711), 0); /* to be executed, not read, by others */
	assert_int_equal(chmod(folder, 0755), 0);
	assert_int_equal(program_check(AT_FDCWD, path), IPC_REASON_none); /* root stays root */
	pid_t child = fork();
	if (!child)
		_exit(setuid(65534) ? 99 : (int)program_check(AT_FDCWD, path));
	int status;
	waitpid(child, &status, 0);
	assert_int_equal(WEXITSTATUS(status), IPC_REASON_setuid);
}

static int clean(void **state)
{
	(void)state;
	char command[64];
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sites_of_transfers),
		cmocka_unit_test(test_sites_of_the_rest),
		cmocka_unit_test(test_windows_are_left_alone),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_programs),
		cmocka_unit_test(test_privileged_program),
	};
	return cmocka_run_group_tests_name("preload", tests, scan, clean);
}
