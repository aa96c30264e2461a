// SPDX-License-Identifier: BSD-2-Clause
#include <ctype.h>
#include <string.h>

#include "container.h"

enum { ID = 64 };

/* The first of so many hexadecimal digits at the end of the name, or NULL. */
static const char *hex_id(const char *name, size_t length)
{
	static const char scope[] = ".scope";
	size_t suffix = sizeof(scope) - 1;

	if (length > suffix && !strncmp(name + length - suffix, scope, suffix))
		length -= suffix;
	if (length < ID)
		return NULL;
	for (size_t i = length - ID; i < length; i++)
		if (!isxdigit((unsigned char)name[i]))
			return NULL;
	/* The programs that watch over a container are not in it. */
	if (memmem(name, length, "conmon-", strlen("conmon-")))
		return NULL;
	return name + length - ID;
}

static const char *lxc_name(const char *name, size_t length, size_t *id_length)
{
	static const char *const prefixes[] = { "lxc.payload.", "lxc.payload/", "lxc/" };

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++) {
		size_t n = strlen(prefixes[i]);
		if (length > 0 && !strncmp(name, prefixes[i], n)) {
			*id_length = strcspn(name + n, "/");
			return *id_length ? name + n : NULL;
		}
	}
	return NULL;
}

const char *container_of_cgroup(const char *cgroup, size_t *length)
{
	const char *end = cgroup + strlen(cgroup);

	while (end > cgroup) {
		const char *name = memrchr(cgroup, '/', end - cgroup);
		name = name ? name + 1 : cgroup;
		const char *id = hex_id(name, end - name);
		if (id) {
			*length = ID;
			return id;
		}
		id = lxc_name(name, end - name, length);
		if (id)
			return id;
		end = name > cgroup ? name - 1 : cgroup;
	}
	return NULL;
}
