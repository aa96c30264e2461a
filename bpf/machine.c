// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <bpf/btf.h>

#include "machine.h"

#define KERNEL_BTF "/sys/kernel/btf/vmlinux"

enum { KERNEL_MAJOR = 6, KERNEL_MINOR = 1 };

static int check_kernel(char *text, size_t size)
{
	struct utsname un;
	unsigned int major = 0, minor = 0;

	if (uname(&un) || sscanf(un.release, "%u.%u", &major, &minor) != 2)
		return -EINVAL;
	bool old = major < KERNEL_MAJOR || (major == KERNEL_MAJOR && minor < KERNEL_MINOR);
	snprintf(text, size, "Linux %s%s", un.release, old ? " is too old for eBPF: 6.1 or later" : "");
	return old ? -EOPNOTSUPP : 0;
}

static int check_btf(char *text, size_t size)
{
	int err = access(KERNEL_BTF, R_OK) ? -errno : 0;

	snprintf(text, size, "%s" KERNEL_BTF "%s", err ? "this kernel has no BTF (" : "",
		 err ? "): one with CONFIG_DEBUG_INFO_BTF" : "");
	return err;
}

/* Locked down for confidentiality, a kernel lets nobody read its memory. */
static int check_lockdown(char *text, size_t size)
{
	char modes[64] = "";
	int fd = open("/sys/kernel/security/lockdown", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, modes, sizeof(modes) - 1);

	if (fd >= 0)
		close(fd);
	modes[n > 0 ? n : 0] = '\0';
	bool locked = strstr(modes, "[confidentiality]");
	snprintf(text, size,
		 locked ? "the kernel is locked down (confidentiality): start it with lockdown=integrity"
			: "the kernel is not locked down against it");
	return locked ? -EPERM : 0;
}

static uint64_t effective_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {};

	if (syscall(SYS_capget, &header, data))
		return 0;
	return (uint64_t)data[1].effective << 32 | data[0].effective;
}

static int check_capabilities(char *text, size_t size)
{
	uint64_t have = effective_capabilities();
	bool bpf = have & 1ULL << CAP_BPF, perfmon = have & 1ULL << CAP_PERFMON;
	bool all = have & 1ULL << CAP_SYS_ADMIN;

	if (all || (bpf && perfmon)) {
		snprintf(text, size, all ? "all" : "CAP_BPF and CAP_PERFMON");
		return 0;
	}
	snprintf(text, size, "eBPF needs root or CAP_BPF and CAP_PERFMON%s: run with sudo",
		 bpf	   ? " (which is missing)"
		 : perfmon ? " (CAP_BPF is missing)"
			   : "");
	return -EPERM;
}

const struct machine_need machine_needs[] = {
	{ "kernel", check_kernel },
	{ "BTF", check_btf },
	{ "lockdown", check_lockdown },
	{ "capabilities", check_capabilities },
	{ NULL, NULL },
};

const struct machine_feature machine_features[MACHINE_FEATURES] = {
	[MACHINE_FAST_READS] = { "fast reads", "the kernel's memory is read in 1 ns (bpf_rdonly_cast)",
				 "each read of the kernel's memory takes 26 ns (Linux 6.2 has "
				 "bpf_rdonly_cast)" },
	[MACHINE_IO_URING] = { "io_uring", "what programs do through rings is recorded",
			       "what programs do through rings is not seen (no tracepoints of io_uring)" },
	[MACHINE_PROBES_TOGETHER] = { "uprobes", "--uprobes attaches to all functions of libc at once",
				      "--uprobes attaches to each function of libc by itself (Linux 6.6 to "
				      "all at "
				      "once)" },
};

static bool has[MACHINE_FEATURES];
static struct machine_rings rings;

/* 0: the kernel has no tracepoint of this name. */
static unsigned int tracepoint_arguments(const struct btf *btf, const char *name)
{
	int id = btf__find_by_name_kind(btf, name, BTF_KIND_TYPEDEF);
	const struct btf_type *t = id > 0 ? btf__type_by_id(btf, id) : NULL;

	while (t && !btf_is_func_proto(t))
		t = btf__type_by_id(btf, t->type);
	return t ? btf_vlen(t) - 1U : 0;
}

static void probe(void)
{
	struct btf *btf = btf__load_vmlinux_btf();

	if (!btf)
		return;
	rings.submit_req = tracepoint_arguments(btf, "btf_trace_io_uring_submit_req");
	if (!rings.submit_req)
		rings.submit_sqe = tracepoint_arguments(btf, "btf_trace_io_uring_submit_sqe");
	rings.complete = tracepoint_arguments(btf, "btf_trace_io_uring_complete");
	has[MACHINE_IO_URING] =
		(rings.submit_req || rings.submit_sqe) && (rings.complete == 3 || rings.complete == 7);
	has[MACHINE_PROBES_TOGETHER] =
		btf__find_by_name_kind(btf, "bpf_uprobe_multi_link", BTF_KIND_STRUCT) > 0;
	has[MACHINE_FAST_READS] = btf__find_by_name_kind(btf, "bpf_rdonly_cast", BTF_KIND_FUNC) > 0;
	btf__free(btf);
}

static void probe_once(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, probe);
}

bool machine_has(enum machine_feature_id feature)
{
	probe_once();
	return has[feature];
}

struct machine_rings machine_rings(void)
{
	probe_once();
	return rings;
}
