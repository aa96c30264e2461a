// SPDX-License-Identifier: BSD-2-Clause
/*
 * trace: the requests of one distributed trace as a tree. What belongs to what is found in tables of our own,
 * where each span has one place, also where a file says that two are each other's parents, or gives one id to
 * several.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "requests.h"
#include "terminal.h"

enum { LABEL, BAR, FOR_PROGRAMS }; /* columns: those before the last are for people only */
enum {
	DIGITS_MAX = 32,
	BAR_MIN = 10,
	BAR_MAX = 60,
	BAR_REST = 80, /* columns of the terminal that are left to others before the bar gets more */
};

/* What bars are drawn in: the time of the whole trace. */
static struct {
	int64_t from, to;
	size_t width;
	char heading[BAR_MAX + 32];
} scale;

static struct column columns[] = {
	{ "label", "NAME", UNIT_TEXT, MARK_NONE },
	{ "bar", NULL, UNIT_BAR, MARK_NONE }, /* on a terminal */
	{ "dur_ns", "DURATION", UNIT_DURATION, MARK_EXACT },
	{ "server_ns", "SERVER", UNIT_DURATION, MARK_EXACT },
	{ "status", "STATUS", UNIT_TEXT, MARK_NONE },
	{ "src", "FROM", UNIT_TEXT, MARK_NONE },
	{ "dst", "TO", UNIT_TEXT, MARK_NONE },
	{ "via", "VIA", UNIT_TEXT, MARK_NONE },
	{ "kind", NULL, UNIT_TEXT, MARK_NONE },
	{ "name", NULL, UNIT_TEXT, MARK_NONE },
	{ "depth", NULL, UNIT_NUMBER, MARK_NONE },
	{ "start_ns", NULL, UNIT_TIME, MARK_NONE },
	{ "pipelined", NULL, UNIT_NUMBER, MARK_NONE },
	{ "trace_id", NULL, UNIT_ID, MARK_NONE },
	SPAN_COLUMNS,
	{ 0 },
};

/* tree: the spans of a trace in the order in which they are shown; ways: the hand-overs in front of each. */
static const char plant_sql[] =
	"CREATE TEMP TABLE members (id INTEGER PRIMARY KEY, span_id TEXT, parent_id TEXT, start_ns INTEGER,"
	" parent INTEGER);"
	"CREATE INDEX temp.by_span ON members (span_id);"
	"CREATE INDEX temp.by_parent ON members (parent);"
	"CREATE TEMP TABLE tree (place INTEGER PRIMARY KEY, id INTEGER UNIQUE, depth INTEGER);"
	"CREATE TEMP TABLE ways (span_id TEXT PRIMARY KEY, via TEXT);"
	"INSERT INTO members SELECT id, span_id, parent_id, start_ns, NULL FROM main.spans WHERE trace_id = "
	"%Q;"
	"UPDATE members SET parent = (SELECT min(p.id) FROM members p WHERE p.span_id = members.parent_id AND"
	" p.id <> members.id);"
	/* Depth first; of those of one depth the earliest. */
	"WITH RECURSIVE below(id, depth, start_ns) AS (SELECT id, 0, start_ns FROM members WHERE parent IS "
	"NULL"
	" UNION ALL SELECT m.id, b.depth + 1, m.start_ns FROM below b JOIN members m ON m.parent = b.id"
	" ORDER BY 2 DESC, 3, 1) INSERT INTO tree (id, depth) SELECT id, depth FROM below;"
	"INSERT INTO tree (id, depth) SELECT id, 0 FROM members WHERE id NOT IN (SELECT id FROM tree);"
	"INSERT INTO ways SELECT span_id, group_concat(way, ', ') FROM (SELECT l.span_id,"
	" CASE l.exact WHEN 0 THEN '~' ELSE '' END || coalesce(c.mechanism, '?') AS way FROM main.span_links "
	"l"
	" LEFT JOIN main.channels c ON c.id = l.channel_id WHERE l.span_id IN (SELECT span_id FROM members)"
	" ORDER BY l.span_id, l.hop) GROUP BY 1;";

/* clang-format off */
#define FROM_TREE FROM_SPANS " JOIN temp.tree t ON t.id = x.id LEFT JOIN temp.ways w ON w.span_id = x.span_id)"
#define LABELLED  "printf('%*s', 2 * min(t.depth, 50), '') || coalesce(" SPAN_NAME ", x.kind, '?') AS label"

static const struct view people = {
	.name = "(SELECT " SPAN_FIELDS ", t.depth, t.place, w.via, bar(x.start_ns, x.end_ns) AS bar, " LABELLED FROM_TREE,
	.columns = columns,
	.order = "place",
};
/* clang-format on */

static const struct view programs = {
	.name = "(SELECT " SPAN_FIELDS ", t.depth, t.place, w.via" FROM_TREE,
	.columns = columns + FOR_PROGRAMS,
	.order = "place",
};

/* Where a time is in the bar, 0 to scale.width. */
static size_t place_of(int64_t ns)
{
	double part = ((double)ns - (double)scale.from) / ((double)scale.to - (double)scale.from);

	/* Of no time at all it is no number. */
	return !(part > 0) ? 0 : part >= 1 ? scale.width : (size_t)(part * (double)scale.width);
}

/* bar(start_ns, end_ns) in SQL: of a request without a reply it goes on to the end. */
static void draw(sqlite3_context *context, int n, sqlite3_value **values)
{
	char text[BAR_MAX];
	bool open = sqlite3_value_type(values[n - 1]) == SQLITE_NULL;
	size_t begin = place_of(sqlite3_value_int64(values[0]));
	size_t end = open ? scale.width : place_of(sqlite3_value_int64(values[n - 1]));

	if (!scale.width)
		return;
	begin -= begin == scale.width;
	end = end > begin ? end : begin + 1;
	memset(text, ' ', begin);
	memset(text + begin, open ? '-' : '#', end - begin);
	sqlite3_result_text(context, text, (int)end, SQLITE_TRANSIENT);
}

/* Nested: each span is an object with its children in it. */
static int nested_rows(const struct output *o, const struct column *c, size_t n, sqlite3_stmt *stmt)
{
	int rc, depth_column = 0, open = -1; /* the depth of the innermost object that is not closed */

	while (strcmp(c[depth_column].name, "depth") != 0)
		depth_column++;
	fputc('[', o->file);
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		int depth = sqlite3_column_int(stmt, depth_column);
		const char *between = open >= depth ? ",\n" : "\n";
		for (; open >= depth; open--)
			fputs("]}", o->file);
		fprintf(o->file, "%s{", between);
		output_members(o->file, c, n, stmt);
		fputs(", \"children\": [", o->file);
		open = depth;
	}
	for (; open >= 0; open--)
		fputs("]}", o->file);
	fputs("\n]\n", o->file);
	return rc == SQLITE_DONE ? 0 : -EIO;
}

/* The first column of the rows of `sql` (of one parameter), at most `n` strings to free. Returns how many. */
static int texts(struct trace *t, const char *sql, const char *parameter, char **out, int n)
{
	sqlite3_stmt *stmt;
	int found = 0;

	if (sqlite3_prepare_v2(t->db, sql, -1, &stmt, NULL))
		return trace_failed(t);
	sqlite3_bind_text(stmt, 1, parameter, -1, SQLITE_STATIC);
	while (found < n && sqlite3_step(stmt) == SQLITE_ROW)
		if ((out[found] = strdup((const char *)sqlite3_column_text(stmt, 0) ?: "")))
			found++;
	return sqlite3_finalize(stmt) ? trace_failed(t) : found;
}

/* The trace whose id begins so, or, where `prefix` is NULL, with the slowest request; a string to free, "" of
 * a file without requests. NULL: there is none, or several, as `t->error` says. */
static char *find(struct trace *t, const char *prefix)
{
	char *ids[3] = {}, *id;
	int n = prefix ? texts(t,
			       "SELECT DISTINCT trace_id FROM spans WHERE substr(trace_id, 1, length(?1)) = "
			       "lower(?1)",
			       prefix, ids, 3)
		       : texts(t, "SELECT trace_id FROM spans WHERE ?1 IS NULL ORDER BY " SPANS_ORDER, NULL,
			       ids, 1);

	if (!n && prefix)
		snprintf(t->error, sizeof(t->error), "no trace in '%s' begins with '%s'", t->path, prefix);
	else if (n > 1)
		snprintf(t->error, sizeof(t->error), "several traces begin with '%s': %s, %s%s", prefix,
			 ids[0], ids[1], n > 2 ? ", ..." : "");
	id = n == 1 ? strdup(ids[0]) : n || prefix ? NULL : strdup("");
	for (int i = 0; i < n; i++)
		free(ids[i]);
	return id;
}

static int plant(struct trace *t, const char *id)
{
	char *sql = sqlite3_mprintf(plant_sql, id);
	int err = sql && !sqlite3_exec(t->db, sql, NULL, NULL, NULL) ? 0 : trace_failed(t);

	sqlite3_free(sql);
	if (!err && sqlite3_create_function(t->db, "bar", 2, SQLITE_UTF8, NULL, draw, NULL, NULL))
		err = trace_failed(t);
	return err;
}

#define MEMBERS "FROM spans WHERE id IN (SELECT id FROM members)"

/* Sets the scale and says what the tree is of. */
static void show_head(struct trace *t, const char *id)
{
	int64_t n = trace_number(t, "SELECT count(*) " MEMBERS);
	int64_t processes = trace_number(t, "SELECT count(*) FROM (SELECT src_id " MEMBERS
					    " UNION SELECT dst_id " MEMBERS ")");
	size_t width = terminal_width(stdout);
	char took[32];

	scale.from = trace_number(t, "SELECT min(start_ns) " MEMBERS);
	scale.to = trace_number(t, "SELECT max(coalesce(end_ns, start_ns)) " MEMBERS);
	unit_format(took, sizeof(took), UNIT_DURATION, scale.to - scale.from, 0);
	if (!t->failed && n)
		printf("trace %s: %lld request%s between %lld process%s, %s\n", id, (long long)n,
		       n == 1 ? "" : "s", (long long)processes, processes == 1 ? "" : "es", took);
	if (!terminal_is(stdout))
		return;
	width = width > BAR_REST ? (width - BAR_REST) / 2 : 0;
	scale.width = width < BAR_MIN ? BAR_MIN : width > BAR_MAX ? BAR_MAX : width;
	snprintf(scale.heading, sizeof(scale.heading), "0%*s", (int)scale.width - 1, took);
	columns[BAR].heading = scale.heading;
}

static int show(struct trace *t, const char *prefix, const struct options *o)
{
	struct output out;
	char *id = find(t, prefix);
	int err = id ? plant(t, id) : -ENOENT;

	if (!err && !o->format)
		show_head(t, id);
	output_init(&out, stdout, o->format, t->start_ns);
	if (o->format == OUTPUT_JSON)
		out.rows = nested_rows;
	if (!err)
		err = view_show(o->format ? &programs : &people, t, o, &out);
	free(id);
	return err;
}

static int run(const struct command *self, const struct options *o)
{
	const char *prefix = o->args[0];
	struct trace t;

	if (o->nargs > 1)
		return command_misused(self, "unexpected argument '%s'", o->args[1]);
	if (prefix &&
	    (!*prefix || prefix[strspn(prefix, "0123456789abcdefABCDEF")] || strlen(prefix) > DIGITS_MAX))
		return command_misused(self, "'%s' is not the beginning of a trace's id", prefix);
	if (spans_find(o) || view_open(&t, o))
		return EXIT_FAILURE;
	int err = show(&t, prefix, o);
	if (!err)
		trace_warn_losses(&t);
	if (err || t.failed)
		err = command_failed("%s", t.error);
	trace_close(&t);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

const struct command cmd_trace = {
	.name = "trace",
	.summary = "Shows what one request led to: the tree of requests, each with a bar to scale",
	.usage = "[ID]",
	.details =
		"ID is the beginning of a trace's id, as 'ipctrace spans' shows it; without it the trace of "
		"the\n"
		"slowest request is shown. VIA names the channels by which a request came from the thread\n"
		"that had received the one above it to the thread that made it. On a terminal ~ stands "
		"before\n"
		"what is approximate; a bar of - is a request without a reply.",
	.options = OPT_INPUT | OPT_FORMAT | OPT_RESOLVE,
	.view = &programs,
	.run = run,
};
