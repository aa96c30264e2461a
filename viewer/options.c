// SPDX-License-Identifier: BSD-2-Clause
/*
 * One row per option. An option's value is the next word, or what follows "=" (long) or the letter (short).
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "event.h"
#include "options.h"
#include "tables.h"

#define DEFAULT_TRACE "ipctrace.db"

enum {
	SHM_SAMPLE_MAX = 3600 * 1000,
	BUFFER_MIN = 64 << 10,
	BUFFER_MAX = 1 << 30,
	SIZE_MIN = 1 << 20,	   /* an empty trace has a quarter of it */
	DURATION_MAX = 1000000000, /* seconds */
};

struct option_row {
	uint64_t bit;
	char letter;	   /* 0: none */
	const char *name;  /* NULL: none */
	const char *value; /* what it takes, or NULL; as in struct option_text */
	const char *help;
	int (*set)(struct options *o, const char *value); /* 0, or -EINVAL: not a good value */
};

static int parse_number(const char *text, int64_t min, int64_t *out)
{
	char *end;

	errno = 0;
	long long n = strtoll(text, &end, 10);
	if (errno || end == text || *end || n < min)
		return -EINVAL;
	*out = n;
	return 0;
}

static int set_input(struct options *o, const char *value)
{
	o->input = value;
	return *value ? 0 : -EINVAL;
}

static int set_output(struct options *o, const char *value)
{
	o->output = value;
	return *value ? 0 : -EINVAL;
}

static int set_source(struct options *o, const char *value)
{
	o->source = strcmp(value, "preload") ? value : "shim";
	return 0;
}

static int set_ledger(struct options *o, const char *value)
{
	o->ledger = value;
	return *value ? 0 : -EINVAL;
}

static int set_json(struct options *o, const char *value)
{
	(void)value;
	o->format = OUTPUT_JSON;
	return 0;
}

static int set_ndjson(struct options *o, const char *value)
{
	(void)value;
	o->format = OUTPUT_NDJSON;
	return 0;
}

static int set_csv(struct options *o, const char *value)
{
	(void)value;
	o->format = OUTPUT_CSV;
	return 0;
}

static int set_color(struct options *o, const char *value)
{
	static const char *const modes[] = {
		[COLOR_AUTO] = "auto", [COLOR_ALWAYS] = "always", [COLOR_NEVER] = "never"
	};

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (!strcmp(value, modes[i])) {
			o->color = (enum color_mode)i;
			return 0;
		}
	return -EINVAL;
}

static int set_no_pager(struct options *o, const char *value)
{
	(void)value;
	o->no_pager = true;
	return 0;
}

static int set_limit(struct options *o, const char *value)
{
	return parse_number(value, 0, &o->limit);
}

static int set_sort(struct options *o, const char *value)
{
	o->descending = *value == '-';
	o->sort = value + o->descending;
	return *o->sort ? 0 : -EINVAL;
}

static int set_pid(struct options *o, const char *value)
{
	return parse_number(value, 1, &o->pid);
}

static int set_comm(struct options *o, const char *value)
{
	o->comm = value;
	return 0;
}

/* Its number, or IPC_MECH_none. */
static int mechanism_of(const char *name, size_t length)
{
	for (int i = IPC_MECH_none + 1; i < IPC_MECHANISMS; i++)
		if (!strncmp(name, ipc_mechanisms[i].name, length) && !ipc_mechanisms[i].name[length])
			return i;
	return IPC_MECH_none;
}

static int set_mechanism(struct options *o, const char *value)
{
	o->mechanism = value;
	return mechanism_of(value, strlen(value)) ? 0 : -EINVAL;
}

static int set_mechanisms(struct options *o, const char *value)
{
	for (size_t n;; value += n + 1) {
		n = strcspn(value, ",");
		int mechanism = mechanism_of(value, n);
		if (!mechanism)
			return -EINVAL;
		o->mechanisms |= 1ULL << mechanism;
		if (!value[n])
			return 0;
	}
}

static int set_pids(struct options *o, const char *value)
{
	for (char *end;; value = end + 1) {
		long pid = strtol(value, &end, 10);
		if (end == value || (*end && *end != ',') || pid < 1 || pid > INT32_MAX ||
		    o->npids == PIDS_MAX)
			return -EINVAL;
		o->pids[o->npids++] = (int)pid;
		if (!*end)
			return 0;
	}
}

static int set_cgroup(struct options *o, const char *value)
{
	o->cgroup = value;
	return *value ? 0 : -EINVAL;
}

static int set_machine(struct options *o, const char *value)
{
	(void)value;
	o->machine = true;
	return 0;
}

static int set_verb(struct options *o, const char *value)
{
	o->verb = value;
	for (int i = 0; i < IPC_VERBS; i++)
		if (!strcmp(value, ipc_verb_names[i]))
			return 0;
	return -EINVAL;
}

static int set_quiet(struct options *o, const char *value)
{
	(void)value;
	o->quiet = true;
	return 0;
}

static int set_follow(struct options *o, const char *value)
{
	(void)value;
	o->follow = true;
	return 0;
}

static int set_verify(struct options *o, const char *value)
{
	(void)value;
	o->verify = true;
	return 0;
}

static int set_sync(struct options *o, const char *value)
{
	o->sync_all = !strcmp(value, "all");
	return o->sync_all || !strcmp(value, "waits") ? 0 : -EINVAL;
}

static int set_private(struct options *o, const char *value)
{
	(void)value;
	o->sync_private = true;
	return 0;
}

static int set_uprobes(struct options *o, const char *value)
{
	(void)value;
	o->uprobes = true;
	return 0;
}

static int set_no_patch(struct options *o, const char *value)
{
	(void)value;
	o->no_patch = true;
	return 0;
}

static int set_shm_sample(struct options *o, const char *value)
{
	int err = parse_number(value, 1, &o->shm_sample);
	return err || o->shm_sample > SHM_SAMPLE_MAX ? -EINVAL : 0;
}

/* A number of bytes, with K, M or G behind it if you like. */
static int parse_size(const char *text, int64_t min, int64_t max, int64_t *out)
{
	static const char units[] = "KMG";
	char *end;
	errno = 0;
	long long n = strtoll(text, &end, 10);
	const char *unit = *end ? strchr(units, *end) : NULL;

	if (errno || end == text || n <= 0 || n > max || (*end && (!unit || end[1])))
		return -EINVAL;
	int shift = unit ? 10 * (int)(unit - units + 1) : 0;
	if (n > max >> shift || n << shift < min)
		return -EINVAL;
	*out = n << shift;
	return 0;
}

/* A ring's size is a power of two. */
static int set_buffer(struct options *o, const char *value)
{
	int64_t n;

	if (parse_size(value, BUFFER_MIN, BUFFER_MAX, &n))
		return -EINVAL;
	for (o->buffer = BUFFER_MIN; o->buffer < n;)
		o->buffer *= 2;
	return 0;
}

static int set_on_full(struct options *o, const char *value)
{
	o->on_full = strcmp(value, "drop") ? ON_FULL_BLOCK : ON_FULL_DROP;
	return strcmp(value, "drop") && strcmp(value, "block") ? -EINVAL : 0;
}

static int set_clean(struct options *o, const char *value)
{
	(void)value;
	o->clean = true;
	return 0;
}

static int set_max_size(struct options *o, const char *value)
{
	return parse_size(value, SIZE_MIN, INT64_MAX, &o->max_size);
}

static int set_duration(struct options *o, const char *value)
{
	char *end;
	double seconds = strtod(value, &end);

	/* A double that is no number is not above either. */
	if (end == value || *end || !(seconds > 0) || !(seconds <= DURATION_MAX))
		return -EINVAL;
	o->duration = (int64_t)(seconds * 1e9);
	return o->duration ? 0 : -EINVAL;
}

static int set_no_protocols(struct options *o, const char *value)
{
	(void)value;
	o->no_protocols = true;
	return 0;
}

static int set_capture(struct options *o, const char *value)
{
	return parse_size(value, 1, IPC_TEXT_MAX, &o->capture);
}

static int set_no_follow(struct options *o, const char *value)
{
	(void)value;
	o->no_follow = true;
	return 0;
}

static int set_aggregate(struct options *o, const char *value)
{
	(void)value;
	o->aggregate = true;
	return 0;
}

static int set_resolve(struct options *o, const char *value)
{
	(void)value;
	o->resolve = true;
	return 0;
}

static int set_list(struct options *o, const char *value)
{
	(void)value;
	o->list = true;
	return 0;
}

static int set_all(struct options *o, const char *value)
{
	(void)value;
	o->all = true;
	return 0;
}

static int set_compare(struct options *o, const char *value)
{
	(void)value;
	o->compare = true;
	return 0;
}

static int set_payload(struct options *o, const char *value)
{
	o->payload = value && !strcmp(value, "hex") ? PAYLOAD_HEX : PAYLOAD_TEXT;
	return o->payload == PAYLOAD_HEX || !value || !strcmp(value, "text") ? 0 : -EINVAL;
}

static int set_by(struct options *o, const char *value)
{
	o->by_name = !strcmp(value, "name");
	return o->by_name ? 0 : -EINVAL;
}

static int set_help(struct options *o, const char *value)
{
	(void)value;
	o->help = true;
	return 0;
}

static const struct option_row rows[] = {
	{ OPT_OUTPUT, 'o', NULL, "FILE",
	  "the trace file to write (" DEFAULT_TRACE "); an older one becomes FILE.old", set_output },
	{ OPT_QUIET, 'q', NULL, NULL, "no summary at the end", set_quiet },
	{ OPT_FOLLOW | OPT_STREAM, 0, "follow", NULL,
	  "go on: record until no traced process runs, show until the recording ends", set_follow },
	{ OPT_FOLLOW, 0, "no-follow", NULL, "not what the program, or the processes of -p, start",
	  set_no_follow },
	{ OPT_FOLLOW, 0, "duration", "SECONDS", "end the recording after so long; the program runs on",
	  set_duration },
	{ OPT_FOLLOW, 0, "max-size", "SIZE", "end the recording when the trace is so large (1M or more)",
	  set_max_size },
	{ OPT_MACHINE, 'a', "all", NULL, "the whole machine (by eBPF), until the program ends, or Ctrl-C",
	  set_machine },
	{ OPT_PIDS, 'p', "pid", "PID[,PID...]", "processes that run, and all that they start (by eBPF)",
	  set_pids },
	{ OPT_CGROUP, 0, "cgroup", "PATH", "only processes of this cgroup, or below it (by eBPF)",
	  set_cgroup },
	{ OPT_MECHANISMS, 'm', "mechanism", "MECHANISM[,MECHANISM...]", "only these mechanisms",
	  set_mechanisms },
	{ OPT_SOURCE, 0, "source", "auto|shim|bpf|both",
	  "auto (default), shim (no privilege needed), bpf (root)", set_source },
	{ OPT_VERIFY, 0, "verify", NULL, "compare what both sources recorded (--source=both)", set_verify },
	{ OPT_SYNC, 0, "sync", "waits|all",
	  "calls on semaphores and locks that become events: waits (default), all", set_sync },
	{ OPT_PRIVATE, 0, "private", NULL, "semaphores and locks that one process alone can use, too",
	  set_private },
	{ OPT_UPROBES, 0, "uprobes", NULL,
	  "eBPF sees semaphores and locks of libc too; each process's cost some 10 us a call then",
	  set_uprobes },
	{ OPT_SHM_SAMPLE, 0, "shm-sample", "MS",
	  "who reads and writes which pages of shared memory, seen every MS milliseconds", set_shm_sample },
	{ OPT_NO_PATCH, 0, "no-patch", NULL,
	  "change no program's code: what libc calls inside itself is not seen (libc-internal)",
	  set_no_patch },
	{ OPT_BYTES, 0, "no-protocols", NULL, "look at no message's bytes: no D-Bus, RPC and HTTP calls",
	  set_no_protocols },
	{ OPT_BYTES, 0, "capture", "SIZE",
	  "store the first SIZE bytes of each message, passwords and all: 1 to 4K", set_capture },
	{ OPT_AGGREGATE, 0, "aggregate", NULL,
	  "no events of sends and receives, but their totals each second (--source=bpf)", set_aggregate },
	{ OPT_BUFFER, 0, "buffer", "SIZE",
	  "room for events between programs and recorder: 64K to 1G (shim: 64M, bpf: 16M)", set_buffer },
	{ OPT_BUFFER, 0, "on-full", "block|drop",
	  "when there is no room: block (wait a second at most; the shim's default), or drop", set_on_full },
	{ OPT_INPUT, 'i', NULL, "FILE", "the trace file to read (" DEFAULT_TRACE ")", set_input },
	{ OPT_FORMAT, 0, "json", NULL, "an array of objects whose keys are the columns", set_json },
	{ OPT_FORMAT, 0, "ndjson", NULL, "the same objects, one a line", set_ndjson },
	{ OPT_FORMAT, 0, "csv", NULL, "comma-separated values (RFC 4180), the columns' names first",
	  set_csv },
	{ OPT_LIMIT, 0, "limit", "N", "at most N rows", set_limit },
	{ OPT_SORT, 0, "sort", "[-]COLUMN", "in the order of COLUMN; -: the largest first", set_sort },
	{ OPT_PID, 'p', "pid", "PID", "only what concerns this process", set_pid },
	{ OPT_COMM, 0, "comm", "NAME", "only what concerns programs of this name", set_comm },
	{ OPT_MECHANISM, 'm', "mechanism", "MECHANISM", "only this mechanism (pipe, unix_stream, tcp, ...)",
	  set_mechanism },
	{ OPT_VERB, 0, "verb", "VERB", "only calls that do this (send, recv, wait, open, ...)", set_verb },
	{ OPT_BY, 0, "by", "name", "one row for all requests of a name: how many, how long", set_by },
	{ OPT_PAYLOAD, 0, "payload", "=text|hex", "the first bytes of each message (record --capture)",
	  set_payload },
	{ OPT_RESOLVE, 0, "resolve", NULL, "names instead of addresses of hosts (asks the resolver)",
	  set_resolve },
	{ OPT_LIST | OPT_RECOVER, 0, "list", NULL, "what there is", set_list },
	{ OPT_RECOVER, 0, "clean", NULL, "give up what could be recovered, and free its memory", set_clean },
	{ OPT_ALL, 0, "all", NULL, "run all, one after the other", set_all },
	{ OPT_COMPARE, 0, "compare", NULL, "measure all, and show how they differ", set_compare },
	{ OPT_LEDGER, 0, "ledger", "FILE", "write there who sent how much to whom", set_ledger },
	{ OPT_HELP, 0, "color", "auto|always|never", "colours; auto, the default: on a terminal", set_color },
	{ OPT_HELP, 0, "no-pager", NULL, "long output goes to the terminal, through no pager", set_no_pager },
	{ OPT_HELP, 'h', "help", NULL, "this text", set_help },
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

/* The row that `word` names, and the value that is part of the word, if any. */
static const struct option_row *find_row(const char *word, uint64_t accepted, const char **value)
{
	*value = NULL;
	for (const struct option_row *r = rows; r < rows + ROWS; r++) {
		if (!(r->bit & accepted))
			continue;
		if (word[1] != '-' && word[1] == r->letter) {
			*value = word[2] ? word + 2 : NULL;
			return r;
		}
		size_t n = r->name ? strlen(r->name) : 0;
		if (word[1] == '-' && n && !strncmp(word + 2, r->name, n) &&
		    (!word[2 + n] || word[2 + n] == '=')) {
			*value = word[2 + n] ? word + 2 + n + 1 : NULL;
			return r;
		}
	}
	return NULL;
}

/* Takes the option argv[*i], and argv[*i + 1] where that is its value. */
static int take(struct options *o, uint64_t accepted, char **argv, int *i, char *error, size_t error_size)
{
	const char *word = argv[*i], *value;
	const struct option_row *r = find_row(word, accepted, &value);

	if (!r || (!r->value && value)) {
		snprintf(error, error_size, r ? "option '%s' takes no value" : "unknown option '%s'", word);
		return -EINVAL;
	}
	if (r->value && !value && *r->value != '=')
		value = argv[++*i];
	if (r->value && !value && *r->value != '=') {
		snprintf(error, error_size, "option '%s' needs %s", word, r->value);
		return -EINVAL;
	}
	if (r->set(o, value)) {
		const char *wanted = r->value + (*r->value == '=');
		const char *no = islower(*wanted) ? "none of" : "not a good";
		snprintf(error, error_size, "'%s' is %s %s for '%.*s'", value, no, wanted,
			 (int)strcspn(word, "="), word);
		return -EINVAL;
	}
	return 0;
}

int options_parse(struct options *o, uint64_t accepted, int argc, char **argv, char *error, size_t error_size)
{
	int n = 1;

	*o = (struct options){
		.input = DEFAULT_TRACE, .output = DEFAULT_TRACE, .limit = -1, .args = argv + 1
	};
	for (int i = 1; i < argc; i++) {
		const char *value;
		bool option = argv[i][0] == '-' && argv[i][1] && !o->separator;
		if (accepted & OPT_FOREIGN && option && !find_row(argv[i], accepted | OPT_HELP, &value))
			option = false;
		if (option && !strcmp(argv[i], "--")) {
			o->separator = true;
		} else if (option) {
			int err = take(o, accepted | OPT_HELP, argv, &i, error, error_size);
			if (err)
				return err;
		} else if (accepted & OPT_REST) {
			o->args = argv + i;
			o->nargs = argc - i;
			return 0;
		} else {
			argv[n++] = argv[i];
		}
	}
	argv[n] = NULL;
	o->nargs = n - 1;
	return 0;
}

void options_usage(FILE *out, uint64_t accepted)
{
	for (const struct option_row *r = rows; r < rows + ROWS; r++) {
		if (!(r->bit & accepted))
			continue;
		fputs(" [", out);
		if (r->letter)
			fprintf(out, "-%c", r->letter);
		else
			fprintf(out, "--%s", r->name);
		if (r->value)
			fprintf(out, *r->value == '=' ? "[%s]" : " %s", r->value);
		fputc(']', out);
	}
}

bool options_text(uint64_t accepted, unsigned int i, struct option_text *out)
{
	for (const struct option_row *r = rows; r < rows + ROWS; r++) {
		if (!(r->bit & (accepted | OPT_HELP)) || i--)
			continue;
		*out = (struct option_text){ r->letter, r->name, r->value, r->help };
		return true;
	}
	return false;
}

void option_left(const struct option_text *o, char left[OPTION_LEFT])
{
	int len = 0;

	if (o->letter)
		len += snprintf(left, OPTION_LEFT, "-%c", o->letter);
	if (o->name)
		len += snprintf(left + len, OPTION_LEFT - len, "%s--%s", len ? ", " : "", o->name);
	if (o->value)
		snprintf(left + len, OPTION_LEFT - len, *o->value == '=' ? "[%s]" : " %s", o->value);
}

void options_describe(FILE *out, uint64_t accepted)
{
	struct option_text o;
	char left[OPTION_LEFT];
	size_t width = 0;

	for (unsigned int i = 0; options_text(accepted, i, &o); i++) {
		option_left(&o, left);
		width = strlen(left) > width ? strlen(left) : width;
	}
	for (unsigned int i = 0; options_text(accepted, i, &o); i++) {
		option_left(&o, left);
		fprintf(out, "  %-*s  %s\n", (int)width, left, o.help);
	}
}
