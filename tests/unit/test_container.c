// SPDX-License-Identifier: BSD-2-Clause
/* The container that a cgroup's path names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "container.h"

#define ID    "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef"
#define OTHER "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"

static void expect(const char *cgroup, const char *id)
{
	size_t length = 0;
	const char *found = container_of_cgroup(cgroup, &length);

	if (!id) {
		assert_null(found);
		return;
	}
	assert_non_null(found);
	assert_int_equal(length, strlen(id));
	assert_memory_equal(found, id, length);
}

static void hexadecimal_ids(void **state)
{
	(void)state;
	expect("/docker/" ID, ID);
	expect("/system.slice/docker-" ID ".scope", ID);
	expect("/docker/" ID "/init.scope", ID);
	expect("/machine.slice/libpod-" ID ".scope/container", ID);
	expect("/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1_2.slice/cri-containerd-" ID
	       ".scope",
	       ID);
	expect("/kubepods/burstable/pod12345678-1234-1234-1234-123456789abc/" ID, ID);
	expect("/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:" ID, ID);
	expect("/kubepods.slice/crio-" ID ".scope", ID);
}

static void the_innermost(void **state)
{
	(void)state;
	expect("/docker/" OTHER "/docker/" ID, ID);
	expect("/lxc/box/docker/" ID, ID);
	expect("/docker/" ID "/lxc/box", "box");
}

static void names(void **state)
{
	(void)state;
	expect("/lxc/web", "web");
	expect("/lxc/web/init.scope", "web");
	expect("/lxc.payload.web/user.slice", "web");
	expect("/lxc.payload/web", "web");
}

static void none(void **state)
{
	(void)state;
	expect("", NULL);
	expect("/", NULL);
	expect("/user.slice/user-1000.slice/session-1.scope", NULL);
	expect("/system.slice/docker.service", NULL);
	expect("/machine.slice/libpod-conmon-" ID ".scope", NULL);
	expect("/docker/0123456789abcdef", NULL);
	expect("/docker/g123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", NULL);
	expect("/lxc/", NULL);
	expect("/lxc.monitor.web", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hexadecimal_ids),
		cmocka_unit_test(the_innermost),
		cmocka_unit_test(names),
		cmocka_unit_test(none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
