// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "selection.h"
#include "tables.h"

enum { CGROUP2_MAGIC = 0x63677270 };

bool selection_of_kernel(const struct options *o)
{
	return o->machine || o->npids || o->comm || o->cgroup;
}

/* Where the unified hierarchy is mounted, as a string to free. NULL: nowhere. */
static char *unified(void)
{
	FILE *f = fopen("/proc/self/mounts", "re");
	char *line = NULL, *where = NULL;
	size_t size = 0;

	while (f && !where && getline(&line, &size, f) > 0) {
		char *save, *word = strtok_r(line, " ", &save), *place = strtok_r(NULL, " ", &save);
		const char *type = strtok_r(NULL, " ", &save);
		if (word && place && type && !strcmp(type, "cgroup2"))
			where = strdup(place);
	}
	free(line);
	if (f)
		fclose(f);
	return where;
}

/* The number of a folder of the unified hierarchy is the kernel's id of the cgroup. Returns 0: it is none. */
static uint64_t cgroup_id(const char *path)
{
	struct statfs fs;
	struct stat st;

	if (statfs(path, &fs) || (uint32_t)fs.f_type != CGROUP2_MAGIC || stat(path, &st) ||
	    !S_ISDIR(st.st_mode))
		return 0;
	return st.st_ino;
}

/* As a path of a file, or as /proc/PID/cgroup shows it. */
static int find_cgroup(const char *path, uint64_t *id, char *error, size_t error_size)
{
	char *where = unified(), *below = NULL;

	*id = cgroup_id(path);
	if (!*id && where && asprintf(&below, "%s/%s", where, path) >= 0)
		*id = cgroup_id(below);
	if (!*id)
		snprintf(error, error_size,
			 where ? "'%s' is no cgroup of the unified hierarchy (cgroup v2, %s)"
			       : "'%s' is no cgroup: the unified hierarchy (cgroup v2) is not mounted%s",
			 path, where ? where : "");
	free(where);
	free(below);
	return *id ? 0 : -ENOENT;
}

int selection_make(struct selection *out, const struct options *o, char *error, size_t error_size)
{
	*out = (struct selection){
		.everybody = o->machine || (!o->nargs && !o->npids),
		.pids = o->pids,
		.npids = o->npids,
		.mechanisms = o->mechanisms ? o->mechanisms : ~0ULL,
		.alone = o->no_follow,
	};
	if (o->comm) /* the kernel keeps so much of it */
		snprintf(out->comm, sizeof(out->comm), "%s", o->comm);
	return o->cgroup ? find_cgroup(o->cgroup, &out->cgroup, error, error_size) : 0;
}

static void write_mechanisms(FILE *f, uint64_t mechanisms)
{
	const char *separator = " -m ";

	for (int i = IPC_MECH_none + 1; i < IPC_MECHANISMS; i++)
		if (mechanisms >> i & 1) {
			fprintf(f, "%s%s", separator, ipc_mechanisms[i].name);
			separator = ",";
		}
}

char *selection_text(const struct options *o)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	fputs(o->machine ? " -a" : "", f);
	for (unsigned int i = 0; i < o->npids; i++)
		fprintf(f, "%s%d", i ? "," : " -p ", o->pids[i]);
	if (o->cgroup)
		fprintf(f, " --cgroup %s", o->cgroup);
	if (o->comm)
		fprintf(f, " --comm %s", o->comm);
	write_mechanisms(f, o->mechanisms);
	fputs(o->no_follow ? " --no-follow" : "", f);
	if (fclose(f) || !*text) {
		free(text);
		return NULL;
	}
	memmove(text, text + 1, size); /* the first space */
	return text;
}
