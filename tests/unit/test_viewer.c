// SPDX-License-Identifier: BSD-2-Clause
/* The viewer's parts: options, SQL, units, JSON, the layout of tables; and views of traces made by hand. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "options.h"
#include "render.h"
#include "resolve.h"
#include "tables.h"
#include "schema.h"
#include "units.h"
#include "verify.h"
#include "view.h"

#define PARSE(o, accepted, ...)                                                                              \
	options_parse(&(o), (accepted), (int)(sizeof((char *[]){ "x", ##__VA_ARGS__ }) / sizeof(char *)),    \
		      (char *[]){ "x", ##__VA_ARGS__, NULL }, error, sizeof(error))

static char error[256];

static void defaults(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(PARSE(o, OPT_VIEW), 0);
	assert_string_equal(o.input, "ipctrace.db");
	assert_string_equal(o.output, "ipctrace.db");
	assert_null(o.source);
	assert_int_equal(o.limit, -1);
	assert_int_equal(o.pid, 0);
	assert_null(o.sort);
	assert_int_equal(o.format, OUTPUT_TEXT);
	assert_false(o.help || o.quiet || o.follow || o.descending);
	assert_int_equal(o.nargs, 0);
}

static void every_way_to_give_a_value(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(PARSE(o, OPT_VIEW, "-i", "a"), 0);
	assert_string_equal(o.input, "a");
	assert_int_equal(PARSE(o, OPT_VIEW, "-ib"), 0);
	assert_string_equal(o.input, "b");
	assert_int_equal(PARSE(o, OPT_VIEW, "--limit", "7"), 0);
	assert_int_equal(o.limit, 7);
	assert_int_equal(PARSE(o, OPT_VIEW, "--limit=0"), 0);
	assert_int_equal(o.limit, 0);
	assert_int_equal(PARSE(o, OPT_VIEW, "--sort", "-bytes"), 0);
	assert_string_equal(o.sort, "bytes");
	assert_true(o.descending);
	assert_int_equal(PARSE(o, OPT_VIEW, "--sort=bytes"), 0);
	assert_false(o.descending);
	assert_int_equal(
		PARSE(o, OPT_MECHANISM | OPT_COMM | OPT_PID, "--mechanism=fifo", "--comm=", "--pid", "1"), 0);
	assert_string_equal(o.mechanism, "fifo");
	assert_string_equal(o.comm, "");
	assert_int_equal(o.pid, 1);
	assert_int_equal(PARSE(o, 0, "-h"), 0);
	assert_true(o.help);
}

static void refused(void **state)
{
	static const struct {
		char *words[2];
		const char *error;
	} bad[] = {
		{ { "--lim", "1" }, "unknown option '--lim'" },
		{ { "--limits", "1" }, "unknown option '--limits'" },
		{ { "-x", "" }, "unknown option '-x'" },
		{ { "-o", "file" }, "unknown option '-o'" },
		{ { "--json=1", "" }, "option '--json=1' takes no value" },
		{ { "--limit", "-1" }, "'-1' is not a good N for '--limit'" },
		{ { "--limit=1k", "" }, "'1k' is not a good N for '--limit'" },
		{ { "--limit", "99999999999999999999" },
		  "'99999999999999999999' is not a good N for '--limit'" },
		{ { "--pid=0", "" }, "'0' is not a good PID for '--pid'" },
		{ { "--sort", "-" }, "'-' is not a good [-]COLUMN for '--sort'" },
		{ { "--mechanism", "none" }, "'none' is not a good MECHANISM for '--mechanism'" },
		{ { "--mechanism", "pip" }, "'pip' is not a good MECHANISM for '--mechanism'" },
		{ { "", "--limit" }, "option '--limit' needs N" },
	};
	struct options o;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(
			PARSE(o, OPT_VIEW | OPT_PID | OPT_MECHANISM, bad[i].words[0], bad[i].words[1]),
			-EINVAL);
		assert_string_equal(error, bad[i].error);
	}
}

static void words_and_options_mix(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(PARSE(o, OPT_VIEW, "SELECT 1", "--json", "--", "-x"), 0);
	assert_int_equal(o.format, OUTPUT_JSON);
	assert_int_equal(o.nargs, 2);
	assert_string_equal(o.args[0], "SELECT 1");
	assert_string_equal(o.args[1], "-x");
	assert_null(o.args[2]);
}

static void a_program_keeps_its_options(void **state)
{
	uint64_t record = OPT_OUTPUT | OPT_QUIET | OPT_FOLLOW | OPT_REST;
	struct options o;

	(void)state;
	assert_int_equal(PARSE(o, record, "-q", "-o", "t", "ls", "-q", "--", "--help"), 0);
	assert_true(o.quiet && !o.separator && !o.help);
	assert_string_equal(o.output, "t");
	assert_int_equal(o.nargs, 4);
	assert_string_equal(o.args[0], "ls");
	assert_string_equal(o.args[3], "--help");
	assert_int_equal(PARSE(o, record, "--follow", "--", "--", "x"), 0);
	assert_true(o.separator && o.follow);
	assert_int_equal(o.nargs, 2);
	assert_string_equal(o.args[0], "--");
	assert_int_equal(PARSE(o, record, "--"), 0);
	assert_int_equal(o.nargs, 0);
	assert_null(o.args[0]);
}

static void bytes_and_times_for_people(void **state)
{
	static const struct {
		enum unit unit;
		int64_t value;
		const char *text;
	} rows[] = {
		{ UNIT_BYTES, 0, "0 B" },
		{ UNIT_BYTES, 63, "63 B" },
		{ UNIT_BYTES, 1023, "1023 B" },
		{ UNIT_BYTES, 1024, "1.0 KiB" },
		{ UNIT_BYTES, 1048575, "1.0 MiB" },
		{ UNIT_BYTES, 4299162, "4.1 MiB" },
		{ UNIT_BYTES, INT64_MAX, "8388608.0 TiB" },
		{ UNIT_DURATION, 0, "0 ns" },
		{ UNIT_DURATION, 999, "999 ns" },
		{ UNIT_DURATION, 1000, "1.0 us" },
		{ UNIT_DURATION, 999949, "999.9 us" },
		{ UNIT_DURATION, 999951, "1.0 ms" },
		{ UNIT_DURATION, 1234567, "1.2 ms" },
		{ UNIT_DURATION, 61000000000, "61.0 s" },
		{ UNIT_NUMBER, -5, "-5" },
		{ UNIT_TIME, 1500000, "0.000500" },
		{ UNIT_STATUS, 3 << 8, "3" },
		{ UNIT_STATUS, 9, "SIGKILL" },
		{ UNIT_STATUS, 11 | 0x80, "SIGSEGV" },
	};
	char text[64];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unit_format(text, sizeof(text), rows[i].unit, rows[i].value, 1000000);
		assert_string_equal(text, rows[i].text);
	}
}

static void json_is(const char *bytes, size_t n, const char *expected)
{
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	json_string(f, bytes, n);
	fclose(f);
	assert_string_equal(text, expected);
	free(text);
}
#define JSON(bytes, expected) json_is(bytes, sizeof(bytes) - 1, expected)

static void json_escapes(void **state)
{
	(void)state;
	JSON("", "\"\"");
	JSON("a\"b\\c/", "\"a\\\"b\\\\c/\"");
	JSON("\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\"");
	JSON("\x01\x1f\x7f", "\"\\u0001\\u001f\\u007f\"");
	JSON("a\0b", "\"a\\u0000b\"");
	JSON("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80",
	     "\"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80\"");
}

/* Unicode 15, table 3-7: the well-formed byte sequences. */
static void json_of_what_is_not_utf8(void **state)
{
	(void)state;
	JSON("\xff", "\"\\ufffd\"");
	JSON("\x80"
	     "a",
	     "\"\\ufffda\"");
	JSON("\xc0\xaf", "\"\\ufffd\\ufffd\"");
	JSON("\xc1\xbf", "\"\\ufffd\\ufffd\"");
	JSON("\xe0\x9f\xbf", "\"\\ufffd\\ufffd\\ufffd\"");
	JSON("\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"");
	JSON("\xf0\x8f\xbf\xbf", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
	JSON("\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
	JSON("\xf5\x80\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
	JSON("\xe2\x82", "\"\\ufffd\\ufffd\"");
	JSON("\xc3", "\"\\ufffd\"");
	JSON("\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf", "\"\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf\"");
}

static void nothing_reaches_the_terminal(void **state)
{
	static const char evil[] = "a\033[2J\n\xff\xc2\x9b"
				   "b\xc3\xa9";
	char *text = text_printable(evil, sizeof(evil) - 1);

	(void)state;
	assert_string_equal(text, "a\\x1b[2J\\x0a\\xff\\xc2\\x9bb\xc3\xa9");
	assert_int_equal(text_width("b\xc3\xa9"), 2);
	free(text);
	/* What turns the direction of writing around, and a line separator. */
	text = text_printable("a\xe2\x80\xae\xe2\x81\xa6\xe2\x80\xa8", 10);
	assert_string_equal(text, "a\\xe2\\x80\\xae\\xe2\\x81\\xa6\\xe2\\x80\\xa8");
	free(text);
	JSON("\xe2\x80\xae\xc2\x9b", "\"\\u202e\\u009b\"");
}

static void wide_and_combining_characters(void **state)
{
	static const char text[] = "a\xe6\xbc\xa2" /* two columns */
				   "e\xcc\x81x";   /* none for the accent */

	(void)state;
	assert_int_equal(text_width(text), 5);
	assert_int_equal(text_within(text, 0), 0);
	assert_int_equal(text_within(text, 2), 1); /* no half of it */
	assert_int_equal(text_within(text, 3), 4);
	assert_int_equal(text_within(text, 4), 7); /* with its accent */
	assert_int_equal(text_within(text, 99), sizeof(text) - 1);
}

static const struct column columns[] = {
	{ "name", "NAME", UNIT_TEXT, MARK_NONE },
	{ "bytes", "BYTES", UNIT_BYTES, MARK_EXACT },
	{ "latency_ns", "LATENCY", UNIT_DURATION, MARK_NONE },
	{ "exact", NULL, UNIT_NUMBER, MARK_NONE },
	{ 0 },
};

static const struct view view = { .name = "rows",
				  .columns = columns,
				  .order = "bytes DESC",
				  .pid = "a = :pid OR b = :pid",
				  .comm = "c = :comm" };

static void sql_is(const struct options *o, const char *expected)
{
	char *sql = view_sql(&view, o);

	assert_string_equal(sql, expected);
	free(sql);
}

static void sql_of_options(void **state)
{
	(void)state;
	sql_is(&(struct options){ .limit = -1 },
	       "SELECT name, bytes, latency_ns, exact FROM rows ORDER BY bytes DESC");
	sql_is(&(struct options){ .limit = 0, .sort = "name" },
	       "SELECT name, bytes, latency_ns, exact FROM rows ORDER BY name LIMIT :limit");
	sql_is(&(struct options){ .limit = -1, .sort = "name", .descending = true, .pid = 3, .comm = "x" },
	       "SELECT name, bytes, latency_ns, exact FROM rows WHERE (a = :pid OR b = :pid) AND (c = :comm)"
	       " ORDER BY name DESC");
	assert_true(view_has(&view, "exact"));
	assert_false(view_has(&view, "exact; DROP TABLE rows"));
}

/* What the renderer makes of `sql`. */
static char *rendered(const struct column *of, const char *sql, enum output_format format, bool human,
		      size_t width)
{
	char *text;
	size_t size;
	sqlite3 *db;
	sqlite3_stmt *stmt;
	struct output o;
	FILE *f = open_memstream(&text, &size);

	assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
	output_init(&o, f, format, 0);
	o.human = human;
	o.width = width;
	assert_int_equal(output_rows(&o, of, (size_t)sqlite3_column_count(stmt), stmt), 0);
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	fclose(f);
	return text;
}

static void rendered_as(const struct column *of, const char *sql, enum output_format format, bool human,
			size_t width, const char *expected)
{
	char *text = rendered(of, sql, format, human, width);

	assert_string_equal(text, expected);
	free(text);
}

static void rendered_is(const char *sql, enum output_format format, bool human, size_t width,
			const char *expected)
{
	rendered_as(columns, sql, format, human, width, expected);
}

static void tables(void **state)
{
	static const char rows[] = "VALUES ('cat', 2048, 1500, 1), ('a very long name', 7, NULL, 0)";

	(void)state;
	rendered_is(rows, OUTPUT_TEXT, true, 0,
		    "NAME                BYTES  LATENCY\n"
		    "cat               2.0 KiB   1.5 us\n"
		    "a very long name     ~7 B        -\n");
	rendered_is(rows, OUTPUT_TEXT, true, 32,
		    "NAME              BYTES  LATENCY\n"
		    "cat             2.0 KiB   1.5 us\n"
		    "a very..g name     ~7 B        -\n");
	/* Where shortening is not enough, the last columns are left out, and the rest has more room. */
	rendered_is(rows, OUTPUT_TEXT, true, 31,
		    "NAME                BYTES\n"
		    "cat               2.0 KiB\n"
		    "a very long name     ~7 B\n");
	rendered_is(rows, OUTPUT_TEXT, true, 3,
		    "NAME\n"
		    "cat\n"
		    "a very..g name\n");
	rendered_is("VALUES ('server:1234567 (server)', 1, 1, 1), ('h\xc3\xa9llo:12345 (outside)', 1, 1, 1)",
		    OUTPUT_TEXT, true, 30,
		    "NAME            BYTES  LATENCY\n"
		    "server..234567    1 B     1 ns\n"
		    "h\xc3\xa9llo:12345..     1 B     1 ns\n");
	rendered_is(rows, OUTPUT_TEXT, false, 0,
		    "name              bytes  latency_ns  exact\n"
		    "cat                2048        1500      1\n"
		    "a very long name      7           -      0\n");
	rendered_is("SELECT 1, 1, 1, 1 WHERE 0", OUTPUT_TEXT, false, 0, "name  bytes  latency_ns  exact\n");
}

static void what_is_only_a_bound_is_marked(void **state)
{
	static const struct column latencies[] = {
		{ "p50", "P50", UNIT_DURATION, MARK_BOUND },
		{ "max", "MAX", UNIT_DURATION, MARK_EXACT },
		{ "exact", NULL, UNIT_NUMBER, MARK_NONE },
		{ "connections", NULL, UNIT_NUMBER, MARK_NONE },
	};

	(void)state;
	rendered_as(latencies, "VALUES (1, 2, 1, 1), (1, 2, 1, 2), (1, 2, 0, 2), (NULL, NULL, 0, 2)", false,
		    true, 0,
		    "  P50    MAX\n"
		    " 1 ns   2 ns\n"
		    "<1 ns   2 ns\n"
		    "~1 ns  ~2 ns\n"
		    "    -      -\n");
}

static void lower_bounds_are_marked(void **state)
{
	static const struct column amounts[] = {
		{ "n", "N", UNIT_NUMBER, MARK_EXACT },	     { "bytes", "BYTES", UNIT_BYTES, MARK_EXACT },
		{ "max", "MAX", UNIT_DURATION, MARK_EXACT }, { "id", "ID", UNIT_NUMBER, MARK_NONE },
		{ "exact", NULL, UNIT_NUMBER, MARK_NONE },   { "lower_bound", NULL, UNIT_NUMBER, MARK_NONE },
	};

	(void)state;
	rendered_as(
		amounts,
		"VALUES (1, 2, 3, 4, 1, 0), (1, 2, 3, 4, 0, 1), (1, NULL, 3, 4, 0, 0), (1, 2, 3, 4, 1, 1)",
		false, true, 0,
		"  N  BYTES    MAX  ID\n"
		"  1    2 B   3 ns   4\n"
		">=1  >=2 B  ~3 ns   4\n"
		" ~1      -  ~3 ns   4\n"
		">=1  >=2 B   3 ns   4\n");
	rendered_as(amounts, "VALUES (1, 2, 3, 4, 0, 1)", false, false, 0,
		    "n  bytes  max  id  exact  lower_bound\n"
		    "1      2    3   4      0            1\n");
}

static void json_rows_have_every_column(void **state)
{
	(void)state;
	rendered_is("VALUES ('c\"t', 2048, NULL, 1), (x'ff', 1.5, 9e999, -1)", OUTPUT_JSON, false, 0,
		    "[\n"
		    "{\"name\": \"c\\\"t\", \"bytes\": 2048, \"latency_ns\": null, \"exact\": 1},\n"
		    "{\"name\": \"\\ufffd\", \"bytes\": 1.5, \"latency_ns\": null, \"exact\": -1}\n"
		    "]\n");
	rendered_is("SELECT 1, 1, 1, 1 WHERE 0", OUTPUT_JSON, false, 0, "[\n]\n");
}

static void many_rows_stream(void **state)
{
	char *text = rendered(columns,
			      "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)"
			      " SELECT 'r' || i, i, i, 1 FROM n",
			      OUTPUT_TEXT, false, 0);
	size_t lines = 0;

	(void)state;
	for (const char *p = text; *p; p++)
		lines += *p == '\n';
	assert_int_equal(lines, 5001);
	assert_non_null(strstr(text, "\nr5000   5000        5000      1\n"));
	free(text);
}

/* The viewer takes a file for a trace by these two numbers. */
static void schema_is_the_viewers(void **state)
{
	char id[64], version[64];

	(void)state;
	snprintf(id, sizeof(id), "PRAGMA application_id = %d;", TRACE_APPLICATION_ID);
	snprintf(version, sizeof(version), "PRAGMA user_version = %d;", TRACE_SCHEMA);
	assert_non_null(strstr(schema_sql, id));
	assert_non_null(strstr(schema_sql, version));
}

/* A trace in the test's folder with these rows. Returns its path, to be removed and freed. */
static char *trace_of(const char *rows)
{
	char *path = strdup("/tmp/ipctrace-viewer-XXXXXX"), *message = NULL;
	sqlite3 *db;

	close(mkstemp(path));
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, schema_sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_exec(
		db,
		"INSERT INTO mechanisms (id, name, sources) VALUES (1, 'pipe', 'BOTH'), (2, 'fifo', 'BOTH'),"
		" (3, 'process', 'BOTH'),"
		" (4, 'unix_stream', 'BOTH'), (7, 'tcp', 'BOTH'), (8, 'udp', 'BOTH')",
		NULL, NULL, &message);
	sqlite3_exec(db, rows, NULL, NULL, &message);
	assert_string_equal(message ? message : "", "");
	sqlite3_close(db);
	return path;
}

static void remove_trace(char *path)
{
	unlink(path);
	free(path);
}

static void second_trace_is_beside_the_first(void **state)
{
	static const char *const names[][2] = {
		{ "ipctrace.db", "ipctrace.bpf.db" },
		{ "a/b.c/trace", "a/b.c/trace.bpf" },
		{ "a/.hidden", "a/.hidden.bpf" },
		{ "x.y.z", "x.y.bpf.z" },
		{ "x", "x.bpf" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char *path = verify_path(names[i][0], "bpf");
		assert_string_equal(path, names[i][1]);
		free(path);
	}
}

/* Writes what verify_show() says of two traces, without their names. */
static void verified_is(const char *shim_rows, const char *bpf_rows, int status, const char *expected)
{
	char *shim = trace_of(shim_rows), *bpf = trace_of(bpf_rows), *text;
	struct options o = { .limit = -1 };
	size_t size;
	FILE *f = tmpfile();

	assert_int_equal(verify_show(f, shim, bpf, &o), status);
	size = ftell(f);
	text = calloc(1, size + 1);
	rewind(f);
	assert_int_equal(fread(text, 1, size, f), size);
	fclose(f);
	assert_string_equal(text, expected);
	free(text);
	remove_trace(shim);
	remove_trace(bpf);
}

#define PROCESSES(coverage)                                                                                  \
	"INSERT INTO processes (id, pid, comm, coverage, end_ns) VALUES (1, 10, 'a', 'full', 9),"            \
	" (2, 11, 'b', '" coverage "', 9);"                                                                  \
	"INSERT INTO channel_rows (id, mechanism, key) VALUES (1, 1, 'pipe:[5]');"
#define ENDPOINTS(sends, receives)                                                                           \
	"INSERT INTO endpoints (channel_id, process_id, sends, receives, bytes_sent, bytes_received)"        \
	" VALUES (1, 1, " sends ", 0, 10 * " sends ", 0), (1, 2, 0, " receives ", 0, 10 * " receives ");"
#define EDGE(messages, exact)                                                                                \
	"INSERT INTO edge_rows (src_id, dst_id, channel_id, messages, bytes, exact) VALUES"                  \
	" (1, 2, 1, " messages ", 10 * " messages ", " exact ");"
#define HEADINGS "process  channel   verb  shim_calls  shim_bytes  bpf_calls  bpf_bytes  note\n"

static void sources_agree(void **state)
{
	(void)state;
	verified_is(PROCESSES("full") ENDPOINTS("3", "3") EDGE("3", "1"),
		    PROCESSES("full") ENDPOINTS("3", "3") EDGE("3", "1"), 0,
		    "both sources agree: 2 endpoints, 30 B sent, 30 B received\n");
	/* What one of them calls approximate is not compared. */
	verified_is(PROCESSES("full") ENDPOINTS("3", "3") EDGE("3", "1"),
		    PROCESSES("full") ENDPOINTS("3", "3") EDGE("2", "0"), 0,
		    "both sources agree: 2 endpoints, 30 B sent, 30 B received\n");
}

static void sources_differ(void **state)
{
	(void)state;
	verified_is(PROCESSES("full") ENDPOINTS("3", "3") EDGE("3", "1"),
		    PROCESSES("full") ENDPOINTS("3", "2") EDGE("2", "1"), 1,
		    "process       channel   verb  shim_calls  shim_bytes  bpf_calls  bpf_bytes  note\n"
		    "a:10 -> b:11  pipe:[5]  edge           3          30          2         20  -\n"
		    "b:11          pipe:[5]  recv           3          30          2         20  -\n"
		    "the sources differ: 2 of 3 endpoints and edges\n");
}

static void what_the_shim_cannot_enter_does_not_count(void **state)
{
	(void)state;
	verified_is(PROCESSES("untraced") ENDPOINTS("3", "0"), PROCESSES("full") ENDPOINTS("3", "3"), 0,
		    HEADINGS
		    "b:11     pipe:[5]  recv           -           -          3         30  not seen by the "
		    "shim\n"
		    "both sources agree but for the rows above: 1 endpoint, 30 B sent, 0 B received\n");
	/* But it counts that the kernel saw less. */
	verified_is(PROCESSES("partial") ENDPOINTS("3", "4"), PROCESSES("full") ENDPOINTS("3", "3"), 1,
		    HEADINGS "b:11     pipe:[5]  recv           4          40          3         30  -\n"
			     "the sources differ: 1 of 2 endpoints and edges\n");
}

static void what_outlives_the_recording_does_not_count(void **state)
{
	(void)state;
	verified_is(PROCESSES("full") ENDPOINTS("3", "3") "UPDATE processes SET end_ns = NULL WHERE id = 2",
		    PROCESSES("full") ENDPOINTS("3", "4"), 0,
		    HEADINGS
		    "b:11     pipe:[5]  recv           3          30          4         40  outlived the "
		    "recording\n"
		    "both sources agree but for the rows above: 1 endpoint, 30 B sent, 30 B received\n");
}

/* What a command of the viewer writes of a trace that has these rows. */
static void shown_is(const struct command *c, const char *option, const char *rows, const char *expected)
{
	char *path = trace_of(rows), text[4096] = "";
	struct options o;
	FILE *f = tmpfile();
	int out = dup(STDOUT_FILENO);

	assert_int_equal(PARSE(o, c->options, "-i", path, (char *)option), 0);
	fflush(stdout);
	dup2(fileno(f), STDOUT_FILENO);
	int status = c->run(c, &o);
	fflush(stdout);
	dup2(out, STDOUT_FILENO);
	close(out);
	assert_int_equal(status, 0);
	assert_true(pread(fileno(f), text, sizeof(text) - 1, 0) >= 0);
	fclose(f);
	for (char *p; (p = strstr(text, path));) {
		memmove(p + 4, p + strlen(path), strlen(p + strlen(path)) + 1);
		memcpy(p, "PATH", 4);
	}
	assert_string_equal(text, expected);
	remove_trace(path);
}

/* A client with two connections to one server, a socketpair, a program on this host that is not recorded, and
 * one on another. */
#define SOCKETS                                                                                              \
	"INSERT INTO meta VALUES ('command', 'x'), ('start_ns', '0'), ('end_ns', '1000');"                   \
	"UPDATE mechanisms SET scope = CASE WHEN id > 6 THEN 'network' ELSE 'host' END;"                     \
	"INSERT INTO processes (id, pid, comm, coverage, start_ns) VALUES (1, 10, 'client', 'full', 0),"     \
	" (2, 11, 'server', 'full', 0), (3, 12, 'dbus', 'untraced', 0),"                                     \
	" (4, NULL, '10.0.0.7:443', 'remote', 0), (5, NULL, '/run/x', 'untraced', 0);"                       \
	"INSERT INTO channel_rows (id, mechanism, key, name, bytes_sent, bytes_received, partial, lost)"     \
	" VALUES (1, 7, 'tcp:1:a', '127.0.0.1:6379', 90, 90, 0, 0),"                                         \
	" (2, 7, 'tcp:1:b', '127.0.0.1:6379', 60, 60, 0, 0),"                                                \
	" (3, 4, 'unix:[1]-[2]', NULL, 8, 8, 0, 0), (4, 4, 'unix:[3]-[4]', '/run/dbus', 7, 0, 1, 0),"        \
	" (5, 7, 'tcp:1:c', '10.0.0.7:443', 6, 0, 1, 0), (6, 4, 'unix:[5]', '/run/x', 0, 5, 1, 0);"          \
	"INSERT INTO endpoints (channel_id, process_id, role, sends, receives) VALUES (1, 1, 'client', 9, "  \
	"0),"                                                                                                \
	" (1, 2, 'server', 0, 9), (2, 1, 'client', 3, 3), (2, 2, 'server', 3, 3), (3, 1, 'peer', 1, 0),"     \
	" (3, 2, 'peer', 0, 1), (4, 1, 'client', 1, 0), (4, 3, 'server', 0, 1), (5, 1, 'client', 1, 0),"     \
	" (5, 4, 'server', 0, 1), (6, 1, 'client', 0, 1), (6, 5, 'server', 1, 0);"                           \
	"INSERT INTO edge_rows (src_id, dst_id, channel_id, messages, bytes, latency_p50_ns, "               \
	"latency_p90_ns,"                                                                                    \
	" latency_p99_ns, latency_max_ns, exact) VALUES (1, 2, 1, 9, 90, 5, 20, 50, 60, 1),"                 \
	" (1, 2, 2, 3, 30, 9, 30, 40, 70, 1), (2, 1, 2, 3, 29, 6, 6, 7, 8, 1), (1, 2, 3, 1, 8, 1, 1, 1, 1, " \
	"1),"                                                                                                \
	" (1, 3, 4, 1, 7, NULL, NULL, NULL, NULL, 1), (1, 4, 5, 1, 6, NULL, NULL, NULL, NULL, 1),"           \
	" (5, 1, 6, 1, 5, NULL, NULL, NULL, NULL, 1);"

/* clang-format off */
static void connections_to_one_address_are_one_row(void **state)
{
	(void)state;
	shown_is(&cmd_summary, "--limit=4", SOCKETS,
		 "x: ran 1.0 us, 2 processes, 6 channels, 19 messages, 175 B -> PATH\n"
		 "src                 dst                 channel                 messages  bytes  latency_p50_ns  latency_p99_ns  exact  lower_bound\n"
		 "client:10           server:11 (server)  2 x tcp 127.0.0.1:6379        12    120               9              50      1            0\n"
		 "server:11 (server)  client:10           tcp 127.0.0.1:6379             3     29               6               7      1            0\n"
		 "client:10           server:11           unix_stream socketpair         1      8               1               1      1            0\n"
		 "client:10           dbus:12 (untraced)  unix_stream /run/dbus          1      7               -               -      1            0\n"
		 "and 2 more (1 tcp, 1 unix_stream): ipctrace edges -i PATH\n");
}

/* One slow connection of few messages is not what most of them see. */
static void latency_of_several_is_bounded(void **state)
{
	(void)state;
	shown_is(&cmd_summary, "--limit=1", SOCKETS
		 "UPDATE edge_rows SET messages = 100, latency_p50_ns = 1, latency_p90_ns = 2, latency_p99_ns = 3,"
		 " latency_max_ns = 4 WHERE channel_id = 1; UPDATE edge_rows SET messages = 1, latency_p50_ns = 90,"
		 " latency_p90_ns = 90, latency_p99_ns = 90, latency_max_ns = 90 WHERE channel_id = 2",
		 "x: ran 1.0 us, 2 processes, 6 channels, 106 messages, 175 B -> PATH\n"
		 "src        dst                 channel                 messages  bytes  latency_p50_ns  latency_p99_ns  exact  lower_bound\n"
		 "client:10  server:11 (server)  2 x tcp 127.0.0.1:6379       101    120               2               4      1            0\n"
		 "and 5 more (3 unix_stream, 2 tcp): ipctrace edges -i PATH\n");
}

static void edges_say_whose_end_it_is(void **state)
{
	(void)state;
	shown_is(&cmd_edges, "--limit=9", SOCKETS,
		 "src                 dst                     channel                 channel_id  messages  bytes  latency_p50_ns  latency_p99_ns  latency_max_ns  exact  lower_bound\n"
		 "client:10           server:11 (server)      tcp 127.0.0.1:6379               1         9     90               5              50              60      1            0\n"
		 "client:10           server:11 (server)      tcp 127.0.0.1:6379               2         3     30               9              40              70      1            0\n"
		 "server:11 (server)  client:10               tcp 127.0.0.1:6379               2         3     29               6               7               8      1            0\n"
		 "client:10           server:11               unix_stream socketpair           3         1      8               1               1               1      1            0\n"
		 "client:10           dbus:12 (untraced)      unix_stream /run/dbus            4         1      7               -               -               -      1            0\n"
		 "client:10           10.0.0.7:443 (outside)  tcp 10.0.0.7:443                 5         1      6               -               -               -      1            0\n"
		 "/run/x (untraced)   client:10               unix_stream /run/x               6         1      5               -               -               -      1            0\n");
}

/* A channel with a gap, and a process; where several send and several receive the rest may be on a wrong edge. */
static void what_was_not_seen_makes_lower_bounds(void **state)
{
	(void)state;
	shown_is(&cmd_edges, "--limit=3", SOCKETS
		 "UPDATE edge_rows SET partial = 1, exact = 0 WHERE channel_id IN (1, 2); UPDATE endpoints SET sends = 1, receives = 1"
		 " WHERE channel_id = 2; UPDATE endpoints SET sends = 0 WHERE id = 2",
		 "src                 dst                 channel             channel_id  messages  bytes  latency_p50_ns  latency_p99_ns  latency_max_ns  exact  lower_bound\n"
		 "client:10           server:11 (server)  tcp 127.0.0.1:6379           1         9     90               5              50              60      0            1\n"
		 "client:10           server:11 (server)  tcp 127.0.0.1:6379           2         3     30               9              40              70      0            0\n"
		 "server:11 (server)  client:10           tcp 127.0.0.1:6379           2         3     29               6               7               8      0            0\n");
	shown_is(&cmd_summary, "--limit=1", SOCKETS "UPDATE processes SET coverage = 'partial' WHERE pid = 11;"
		 "INSERT INTO loss_rows (kind, source, reason, process_id, comm, count, first_ns, last_ns, mechanism, processor)"
		 " VALUES ('not_covered', 'shim', 'io_uring', 2, '', 3, 5, 6, 0, -1)",
		 "x: ran 1.0 us, 2 processes, 6 channels, >=19 messages, >=175 B -> PATH\n"
		 "src        dst                 channel                 messages  bytes  latency_p50_ns  latency_p99_ns  exact  lower_bound\n"
		 "client:10  server:11 (server)  2 x tcp 127.0.0.1:6379        12    120               9              50      1            1\n"
		 "and 5 more (3 unix_stream, 2 tcp): ipctrace edges -i PATH\n"
		 "! not covered: server (pid 11): 3 x what it submits through a ring of io_uring is not seen by the shim;"
		 " run ipctrace as root (or with CAP_BPF and CAP_PERFMON) with --source=bpf\n");
}

static void channels_say_who_is_at_the_ends(void **state)
{
	(void)state;
	shown_is(&cmd_channels, "--limit=9", SOCKETS,
		 "id  channel                 bytes_sent  bytes_received  partial  ends                               key           model  capacity  nonblocking  lower_bound\n"
		 " 1  tcp 127.0.0.1:6379              90              90        0  client:10, server:11 (server)      tcp:1:a       -      -                   0            0\n"
		 " 2  tcp 127.0.0.1:6379              60              60        0  client:10, server:11 (server)      tcp:1:b       -      -                   0            0\n"
		 " 3  unix_stream socketpair           8               8        0  client:10, server:11               unix:[1]-[2]  -      -                   0            0\n"
		 " 4  unix_stream /run/dbus            7               0        1  client:10, dbus:12 (untraced)      unix:[3]-[4]  -      -                   0            1\n"
		 " 5  tcp 10.0.0.7:443                 6               0        1  client:10, 10.0.0.7:443 (outside)  tcp:1:c       -      -                   0            1\n"
		 " 6  unix_stream /run/x               0               5        1  client:10, /run/x (untraced)       unix:[5]      -      -                   0            1\n");
	shown_is(&cmd_channels, "--limit=2", SOCKETS "UPDATE channel_rows SET lost = 3 WHERE id = 2",
		 "id  channel             bytes_sent  bytes_received  lost  partial  ends                           key      model  capacity  nonblocking  lower_bound\n"
		 " 1  tcp 127.0.0.1:6379          90              90     0        0  client:10, server:11 (server)  tcp:1:a  -      -                   0            0\n"
		 " 2  tcp 127.0.0.1:6379          60              60     3        0  client:10, server:11 (server)  tcp:1:b  -      -                   0            0\n");
}
/* clang-format on */

/* A request of a client with what it led to, one without a reply, and a second trace. */
#define REQUESTS                                                                                             \
	"INSERT INTO meta VALUES ('command', 'x'), ('start_ns', '1000'), ('end_ns', '40000');"               \
	"INSERT INTO processes (id, pid, comm, coverage, start_ns) VALUES (1, 10, 'client', 'full', 0),"     \
	" (2, 11, 'front', 'full', 0), (3, 12, 'users', 'full', 0);"                                         \
	"INSERT INTO channel_rows (id, mechanism, key, name, partial) VALUES (1, 7, 'tcp:1:a',"              \
	" '127.0.0.1:80', 0), (2, 4, 'unix:[3]-[4]', '/run/users', 0), (3, 1, 'pipe:[5]', NULL, 0);"         \
	"INSERT INTO endpoints (channel_id, process_id, role, sends, receives) VALUES (1, 1, 'client', 2, "  \
	"2), (1, 2, 'server', 2, 2), (2, 2, 'client', 1, 1), (2, 3, 'server', 1, 1);"                        \
	"INSERT INTO spans (id, trace_id, span_id, parent_id, kind, name, src_id, dst_id, channel_id, "      \
	"start_ns, end_ns, server_ns, status, failed, exact, pipelined) VALUES"                              \
	" (1, 'ab12', 'b2', 'b1', 'jsonrpc', 'user.get', 2, 3, 2, 3000, 9000, 5000, NULL, 0, 0, 0),"         \
	" (2, 'ab12', 'b1', '77', 'http', 'GET /cart', 1, 2, 1, 2000, 12000, 9000, '200', 0, 1, 0),"         \
	" (3, 'ab12', 'b3', 'b1', 'exchange', NULL, 2, 3, 2, 2500, NULL, NULL, NULL, NULL, 1, 1),"           \
	" (4, 'ab12', 'b4', 'b2', 'exchange', NULL, 3, 2, 2, 4000, 5000, NULL, NULL, 0, 1, 0),"              \
	" (5, 'ac34', 'c1', NULL, 'http', 'GET /cart', 1, 2, 1, 20000, 22000, 1500, '500', 1, 1, 0);"        \
	"INSERT INTO span_links VALUES ('b2', 'b1', 2, NULL, 9, 0), ('b2', 'b1', 1, NULL, 3, 1);"

/* clang-format off */
static void requests_stand_slowest_first(void **state)
{
	(void)state;
	shown_is(&cmd_spans, "--limit=9", REQUESTS,
		 "trace_id  dur_ns  server_ns  name                    src                dst                status  kind      start_ns  pipelined  exact\n"
		 "ab12       10000       9000  GET /cart               client:10          front:11 (server)  200     http          2000          0      1\n"
		 "ab12        6000       5000  user.get                front:11           users:12 (server)  -       jsonrpc       3000          0      0\n"
		 "ac34        2000       1500  GET /cart               client:10          front:11 (server)  500     http         20000          0      1\n"
		 "ab12        1000          -  unix_stream /run/users  users:12 (server)  front:11           -       exchange      4000          0      1\n"
		 "ab12           -          -  unix_stream /run/users  front:11           users:12 (server)  -       exchange      2500          1      1\n");
	shown_is(&cmd_spans, "--comm=client", REQUESTS,
		 "trace_id  dur_ns  server_ns  name       src        dst                status  kind  start_ns  pipelined  exact\n"
		 "ab12       10000       9000  GET /cart  client:10  front:11 (server)  200     http      2000          0      1\n"
		 "ac34        2000       1500  GET /cart  client:10  front:11 (server)  500     http     20000          0      1\n");
}

/* Of 1 to 100 us, 50 % take no longer than 50. */
static void requests_of_a_name_are_counted(void **state)
{
	(void)state;
	shown_is(&cmd_spans, "--by=name", REQUESTS
		 "INSERT INTO spans (trace_id, kind, name, start_ns, end_ns, failed, exact) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL"
		 " SELECT i + 1 FROM n WHERE i < 101) SELECT 'ad', 'dbus', 'a.B', 0, CASE WHEN i < 101 THEN i * 1000 END, i % 10 = 0, 1 FROM n",
		 "kind      name                    count  failed  total_ns  p50_ns  p90_ns  p99_ns  max_ns  min_ns  exact\n"
		 "dbus      a.B                       101      10   5050000   50000   90000   99000  100000    1000      1\n"
		 "http      GET /cart                   2       1     12000    2000   10000   10000   10000    2000      1\n"
		 "jsonrpc   user.get                    1       0      6000    6000    6000    6000    6000    6000      0\n"
		 "exchange  unix_stream /run/users      2       0      1000    1000    1000    1000    1000    1000      1\n");
}

static void a_tree_has_each_request_below_its_parent(void **state)
{
	static const char tree[] =
		"trace ab12: 4 requests between 3 processes, 10.0 us\n"
		"label                       dur_ns  server_ns  status  src                dst                via       exact\n"
		"GET /cart                    10000       9000  200     client:10          front:11 (server)  -             1\n"
		"  unix_stream /run/users         -          -  -       front:11           users:12 (server)  -             1\n"
		"  user.get                    6000       5000  -       front:11           users:12 (server)  pipe, ~?      0\n"
		"    unix_stream /run/users    1000          -  -       users:12 (server)  front:11           -             1\n";

	(void)state;
	shown_is(&cmd_trace, "ab", REQUESTS, tree);
	shown_is(&cmd_trace, "--no-pager", REQUESTS, tree); /* the one with the slowest */
	shown_is(&cmd_trace, "AC", REQUESTS,
		 "trace ac34: 1 request between 2 processes, 2.0 us\n"
		 "label      dur_ns  server_ns  status  src        dst                via  exact\n"
		 "GET /cart    2000       1500  500     client:10  front:11 (server)  -        1\n");
	shown_is(&cmd_trace, "--no-pager", "", "label  dur_ns  server_ns  status  src  dst  via  exact\n");
}

/* Each span has one place, and what is nobody's child is shown too. */
static void ids_that_do_not_make_a_tree(void **state)
{
	(void)state;
	shown_is(&cmd_trace, "--no-pager",
		 "INSERT INTO spans (trace_id, span_id, parent_id, name, start_ns) VALUES ('a', '1', '2', 'ring', 1), ('a', '2', '1', 'ring', 2),"
		 " ('a', '3', '3', 'own child', 3), ('a', '4', '9', 'same', 4), ('a', '4', '9', 'same', 5), ('a', '5', '4', 'of the first', 6)",
		 "trace a: 6 requests between 1 process, 5 ns\n"
		 "label           dur_ns  server_ns  status  src        dst        via  exact\n"
		 "own child            -          -  -       (outside)  (outside)  -        -\n"
		 "same                 -          -  -       (outside)  (outside)  -        -\n"
		 "  of the first       -          -  -       (outside)  (outside)  -        -\n"
		 "same                 -          -  -       (outside)  (outside)  -        -\n"
		 "ring                 -          -  -       (outside)  (outside)  -        -\n"
		 "ring                 -          -  -       (outside)  (outside)  -        -\n");
}

static void the_summary_names_the_requests(void **state)
{
	(void)state;
	shown_is(&cmd_summary, "--limit=2", REQUESTS "INSERT INTO protocol_messages (protocol) VALUES ('http'), ('jsonrpc'), ('http')",
		 "x: ran 39.0 us, 3 processes, 3 channels, 0 messages, 0 B -> PATH\n"
		 "no process sent anything to another\n"
		 "kind     name       count  failed  p50_ns  p99_ns  exact\n"
		 "http     GET /cart      2       1    2000   10000      1\n"
		 "jsonrpc  user.get       1       0    6000    6000      0\n"
		 "the slowest took 10.0 us: ipctrace trace ab12 -i PATH\n"
		 "messages of protocols: 2 http, 1 jsonrpc\n");
}
/* clang-format on */

static void an_older_trace_is_refused(void **state)
{
	char *path = trace_of("PRAGMA user_version = 1");
	struct trace t;

	(void)state;
	assert_int_equal(trace_open(&t, path), -EPROTONOSUPPORT);
	assert_non_null(strstr(t.error, "has schema version 1 and this ipctrace knows 4: record it again"));
	remove_trace(path);
}

/* Whatever a losses.reason may be: a row without words or remedy would leave people alone. */
static void every_reason_has_words_and_a_remedy(void **state)
{
	(void)state;
	for (int i = 0; i < IPC_REASONS; i++) {
		const struct ipc_reason_row *r = &ipc_reasons[i];
		assert_true(r->name && *r->name && r->words && r->remedy);
		assert_true(strlen(r->words) > 10 && strcmp(r->words, r->name));
		assert_true(strlen(r->remedy) > 10 && strcmp(r->remedy, r->words));
		assert_true(!strcmp(r->kind, "lost") || !strcmp(r->kind, "not_covered") ||
			    !strcmp(r->kind, "uncertain"));
	}
}

/* clang-format off */
static void losses_say_who_and_why_and_what_to_do(void **state)
{
	(void)state;
	shown_is(&cmd_losses, "--limit=9",
		 "INSERT INTO processes (id, pid, comm) VALUES (1, 12, 'foo');"
		 "INSERT INTO loss_rows (kind, source, reason, process_id, comm, count, first_ns, last_ns, mechanism, processor)"
		 " VALUES ('not_covered', 'shim', 'outlived', 1, '', 1, 5, 6, 0, -1), ('lost', 'bpf', 'of-tomorrow', 0, '', 7, 5, 6, 0, 3)",
		 "kind         reason       count  pid  comm  mechanism  process_id  source  processor  first_ns  last_ns\n"
		 "lost         of-tomorrow      7    -  -     -                   -  bpf             3         5        6\n"
		 "not_covered  outlived         1   12  foo   -                   1  shim            -         5        6\n"
		 "\n"
		 "of-tomorrow: of-tomorrow; look into the documents of the ipctrace that recorded it\n"
		 "outlived: still running when the recording ended; --follow waits for such programs\n");
}
/* clang-format on */

static void names_are_asked_for_only_on_demand(void **state)
{
	static const char *const same[] = { "127.0.0.1:80", "[::1]:80",	 "0.0.0.0:1", "/run/x:1",
					    "redis",	    ":",	 "",	      "[",
					    "::1",	    "127.0.0.1", "[::1]",     "[::" };
	sqlite3 *db;
	sqlite3_stmt *stmt;

	(void)state;
	assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
	for (int ask = 0; ask < 2; ask++) {
		assert_int_equal(resolve_register(db, ask), 0);
		assert_int_equal(sqlite3_prepare_v2(db, "SELECT host_name(?)", -1, &stmt, NULL), SQLITE_OK);
		for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
			sqlite3_bind_text(stmt, 1, same[i], -1, SQLITE_STATIC);
			assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
			assert_string_equal(sqlite3_column_text(stmt, 0), same[i]);
			sqlite3_reset(stmt);
		}
		sqlite3_finalize(stmt);
	}
	sqlite3_close(db);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),
		cmocka_unit_test(every_way_to_give_a_value),
		cmocka_unit_test(refused),
		cmocka_unit_test(lower_bounds_are_marked),
		cmocka_unit_test(what_was_not_seen_makes_lower_bounds),
		cmocka_unit_test(every_reason_has_words_and_a_remedy),
		cmocka_unit_test(losses_say_who_and_why_and_what_to_do),
		cmocka_unit_test(words_and_options_mix),
		cmocka_unit_test(a_program_keeps_its_options),
		cmocka_unit_test(bytes_and_times_for_people),
		cmocka_unit_test(json_escapes),
		cmocka_unit_test(json_of_what_is_not_utf8),
		cmocka_unit_test(nothing_reaches_the_terminal),
		cmocka_unit_test(wide_and_combining_characters),
		cmocka_unit_test(sql_of_options),
		cmocka_unit_test(tables),
		cmocka_unit_test(json_rows_have_every_column),
		cmocka_unit_test(many_rows_stream),
		cmocka_unit_test(schema_is_the_viewers),
		cmocka_unit_test(second_trace_is_beside_the_first),
		cmocka_unit_test(sources_agree),
		cmocka_unit_test(sources_differ),
		cmocka_unit_test(what_the_shim_cannot_enter_does_not_count),
		cmocka_unit_test(what_outlives_the_recording_does_not_count),
		cmocka_unit_test(connections_to_one_address_are_one_row),
		cmocka_unit_test(latency_of_several_is_bounded),
		cmocka_unit_test(edges_say_whose_end_it_is),
		cmocka_unit_test(channels_say_who_is_at_the_ends),
		cmocka_unit_test(requests_stand_slowest_first),
		cmocka_unit_test(requests_of_a_name_are_counted),
		cmocka_unit_test(a_tree_has_each_request_below_its_parent),
		cmocka_unit_test(ids_that_do_not_make_a_tree),
		cmocka_unit_test(the_summary_names_the_requests),
		cmocka_unit_test(an_older_trace_is_refused),
		cmocka_unit_test(names_are_asked_for_only_on_demand),
		cmocka_unit_test(what_is_only_a_bound_is_marked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
