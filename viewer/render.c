// SPDX-License-Identifier: BSD-2-Clause
/*
 * A table's widths are those of its first rows (HELD); they are held back until the widths are known, later
 * rows stream, so that millions of rows cost no memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "render.h"
#include "terminal.h"

enum { HELD = 256, GAP = 2, NARROWEST = 14 };

/* A grid of cells: row 0 holds the headings. */
struct grid {
	const struct output *o;
	const struct column *columns;
	size_t n;	 /* columns of the statement */
	size_t *shown;	 /* the statement's column of each column of the grid */
	size_t width;	 /* columns of the grid */
	size_t fits;	 /* of these, how many the terminal has room for */
	int exact;	 /* the statement's column `exact`, or -1 */
	int bound;	 /* likewise `lower_bound` */
	int connections; /* likewise */
	size_t *widths;
	bool *left; /* columns of texts; of UNIT_ANY, those in which a text was held */
	char **cells;
	size_t rows; /* held in `cells` */
	bool flushed;
};

static char *cell_text(sqlite3_stmt *stmt, int i)
{
	/* Length after text: asking converts. */
	const char *text = (const char *)sqlite3_column_text(stmt, i);

	return text ? text_printable(text, sqlite3_column_bytes(stmt, i)) : NULL;
}

static const char *mark_of(const struct grid *g, const struct column *c, sqlite3_stmt *stmt)
{
	bool amount = c->unit == UNIT_NUMBER || c->unit == UNIT_BYTES;

	if (c->mark != MARK_NONE && amount && g->bound >= 0 && sqlite3_column_int(stmt, g->bound))
		return ">=";
	if (c->mark != MARK_NONE && g->exact >= 0 && !sqlite3_column_int(stmt, g->exact))
		return "~";
	if (c->mark == MARK_BOUND && g->connections >= 0 && sqlite3_column_int(stmt, g->connections) > 1)
		return "<";
	return "";
}

static char *cell(const struct grid *g, sqlite3_stmt *stmt, size_t i)
{
	const struct column *c = &g->columns[i];
	char text[64], *out;

	if (sqlite3_column_type(stmt, i) == SQLITE_NULL)
		return strdup("-");
	if (!g->o->human || c->unit == UNIT_TEXT || c->unit == UNIT_ANY ||
	    sqlite3_column_type(stmt, i) != SQLITE_INTEGER) {
		out = cell_text(stmt, i);
		if (out && g->o->human && c->unit == UNIT_ID)
			out[text_within(out, ID_DIGITS)] = '\0';
		return out;
	}
	unit_format(text, sizeof(text), c->unit, sqlite3_column_int64(stmt, i), g->o->start_ns);
	return asprintf(&out, "%s%s", mark_of(g, c, stmt), text) < 0 ? NULL : out;
}

/* Texts that are never shortened. */
static bool is_whole(const struct column *c)
{
	return c->unit == UNIT_ID || c->unit == UNIT_BAR;
}

static bool may_shrink(const struct grid *g, size_t i)
{
	return g->left[i] && !is_whole(&g->columns[g->shown[i]]);
}

static size_t least_width(const struct grid *g, size_t i)
{
	return may_shrink(g, i) && g->widths[i] > NARROWEST ? NARROWEST : g->widths[i];
}

/* Leaves out the last columns until the rest can fit the terminal; returns what the rest needs at least. */
static size_t leave_out(struct grid *g)
{
	size_t least = (g->width - 1) * GAP;

	for (size_t i = 0; i < g->width; i++)
		least += least_width(g, i);
	while (g->fits > 1 && least > g->o->width)
		least -= least_width(g, --g->fits) + GAP;
	return least;
}

/* Makes rows fit the terminal; width is taken from the widest text columns. */
static void shrink(struct grid *g)
{
	if (!g->o->width)
		return;
	size_t least = leave_out(g), total = least;
	for (size_t i = 0; i < g->fits; i++)
		total += g->widths[i] - least_width(g, i);
	while (total > g->o->width && total > least) {
		size_t widest = 0, best = NARROWEST;
		for (size_t i = 0; i < g->fits; i++)
			if (may_shrink(g, i) && g->widths[i] > best)
				best = g->widths[widest = i];
		g->widths[widest]--;
		total--;
	}
}

/* A text that is too wide keeps its beginning and its end (a pid, a port, a file's name); before that it
 * gives up what is said in brackets behind it. Returns the width that it takes. */
static size_t print_shortened(FILE *f, const char *s, size_t room)
{
	const char *remark = strstr(s, " (");
	size_t width = text_width(s) - (remark ? text_width(remark) : 0);
	size_t tail = remark && width + 2 <= room ? 0 : (room - 2) / 2;
	size_t head = text_within(s, tail ? room - 2 - tail : width);
	const char *end = s + text_within(s, width - tail);

	/* A wide character may stand across the place. */
	if (text_width(end) - (remark ? text_width(remark) : 0) > tail)
		end += text_within(end, 2);
	int rest = (int)(remark ? remark - end : (ptrdiff_t)strlen(end));
	fprintf(f, "%.*s..%.*s", (int)head, s, rest, end);
	return text_width(s) - text_width(s + head) + 2 + text_width(end) - (remark ? text_width(remark) : 0);
}

/* A figure: what marks it stands out. */
static void print_figure(FILE *f, const char *s)
{
	size_t mark = strspn(s, "~<>=");

	if (mark)
		fprintf(f, "%s%.*s%s", terminal_color(f, COLOR_MARK), (int)mark, s,
			terminal_color(f, COLOR_OFF));
	fputs(s + mark, f);
}

static void print_cell(const struct grid *g, const char *s, size_t i)
{
	FILE *f = g->o->file;
	size_t width = text_width(s), room = g->widths[i];
	bool last = i + 1 == g->fits;

	if (may_shrink(g, i) && g->o->width && width > room) {
		width = print_shortened(f, s, room);
	} else if (g->left[i]) {
		fputs(s, f);
	} else {
		fprintf(f, "%*s", width < room ? (int)(room - width) : 0, "");
		print_figure(f, s);
		width = room;
	}
	if (!last)
		fprintf(f, "%*s", (int)(width < room ? room - width + GAP : GAP), "");
}

static void print_row(const struct grid *g, char *const *cells, bool heading)
{
	FILE *f = g->o->file;

	fputs(heading ? terminal_color(f, COLOR_HEADING) : "", f);
	for (size_t i = 0; i < g->fits; i++)
		print_cell(g, cells[i], i);
	fprintf(f, "%s\n", heading ? terminal_color(f, COLOR_OFF) : "");
}

static void grid_flush(struct grid *g)
{
	if (!g->flushed)
		shrink(g);
	for (size_t r = 0; r < g->rows; r++) {
		char **cells = g->cells + r * g->width;
		print_row(g, cells, !g->flushed && r == 0);
		for (size_t i = 0; i < g->width; i++)
			free(cells[i]);
	}
	g->rows = 0;
	g->flushed = true;
}

static bool is_text(sqlite3_stmt *stmt, int i)
{
	int type = sqlite3_column_type(stmt, i);

	return type == SQLITE_TEXT || type == SQLITE_BLOB;
}

/* Adds a row: of headings where `stmt` is NULL. */
static int grid_add(struct grid *g, sqlite3_stmt *stmt)
{
	char **cells = g->cells + g->rows * g->width;

	for (size_t i = 0; i < g->width; i++) {
		const struct column *c = &g->columns[g->shown[i]];
		const char *heading = g->o->human ? c->heading : c->name;
		cells[i] = stmt ? cell(g, stmt, g->shown[i]) : text_printable(heading, strlen(heading));
		if (stmt && c->unit == UNIT_ANY && !g->flushed)
			g->left[i] |= is_text(stmt, (int)g->shown[i]);
		if (!cells[i]) {
			while (i--)
				free(cells[i]);
			return -ENOMEM;
		}
		if (!g->flushed && text_width(cells[i]) > g->widths[i])
			g->widths[i] = text_width(cells[i]);
	}
	g->rows++;
	if (g->flushed || g->rows > HELD)
		grid_flush(g);
	return 0;
}

static int grid_init(struct grid *g)
{
	g->shown = calloc(g->n, sizeof(*g->shown));
	g->widths = calloc(g->n, sizeof(*g->widths));
	g->left = calloc(g->n, sizeof(*g->left));
	g->cells = calloc(g->n * (HELD + 1), sizeof(*g->cells));
	if (!g->shown || !g->widths || !g->left || !g->cells)
		return -ENOMEM;
	for (size_t i = 0; i < g->n; i++) {
		if (!strcmp(g->columns[i].name, "exact"))
			g->exact = i;
		if (!strcmp(g->columns[i].name, "lower_bound"))
			g->bound = i;
		/* Where no mark stands before a figure the column has to say it. */
		if (g->columns[i].heading || (!g->o->human && (g->exact == (int)i || g->bound == (int)i))) {
			g->left[g->width] = g->columns[i].unit == UNIT_TEXT || is_whole(&g->columns[i]);
			g->shown[g->width++] = i;
		}
		if (!strcmp(g->columns[i].name, "connections"))
			g->connections = i;
	}
	g->fits = g->width;
	return 0;
}

/* As sqlite3_step(). Before it waits for more, all that there is has been written; of `g` too, if not NULL.
 */
static int next_row(const struct output *o, sqlite3_stmt **stmt, struct grid *g)
{
	int rc;

	while ((rc = sqlite3_step(*stmt)) == SQLITE_DONE && o->more) {
		if (g && (g->flushed || g->rows > 1))
			grid_flush(g);
		if (fflush(o->file) || !o->more(o->of, stmt))
			break;
	}
	return rc;
}

static int text_rows(const struct output *o, const struct column *columns, size_t n, sqlite3_stmt *stmt)
{
	struct grid g = { .o = o, .columns = columns, .n = n, .exact = -1, .bound = -1, .connections = -1 };
	int rc = SQLITE_DONE, err = grid_init(&g);

	if (!err)
		err = grid_add(&g, NULL);
	while (!err && (rc = next_row(o, &stmt, &g)) == SQLITE_ROW)
		err = grid_add(&g, stmt);
	grid_flush(&g);
	free(g.shown);
	free(g.widths);
	free(g.left);
	free(g.cells);
	return err ? err : rc == SQLITE_DONE ? 0 : -EIO;
}

/* Beyond this not every integer is a double, which is all that some readers of JSON know. */
#define SAFE_INTEGER ((1LL << 53) - 1)

static void json_integer(FILE *f, const struct column *c, int64_t value)
{
	/* A point in time is always a string: it would become one while the machine is up. */
	bool exact = c->unit != UNIT_TIME && value <= SAFE_INTEGER && value >= -SAFE_INTEGER;

	fprintf(f, exact ? "%lld" : "\"%lld\"", (long long)value);
}

static void json_value(FILE *f, const struct column *c, sqlite3_stmt *stmt, int i)
{
	const char *bytes;

	switch (sqlite3_column_type(stmt, i)) {
	case SQLITE_INTEGER:
		json_integer(f, c, sqlite3_column_int64(stmt, i));
		return;
	case SQLITE_FLOAT: /* an infinity is no JSON; x - x is 0 of finite numbers only */
		if (sqlite3_column_double(stmt, i) - sqlite3_column_double(stmt, i) == 0)
			fprintf(f, "%.17g", sqlite3_column_double(stmt, i));
		else
			fputs("null", f);
		return;
	case SQLITE_NULL:
		fputs("null", f);
		return;
	default:
		bytes = sqlite3_column_blob(stmt, i);
		json_string(f, bytes, sqlite3_column_bytes(stmt, i));
	}
}

void output_members(FILE *f, const struct column *columns, size_t n, sqlite3_stmt *stmt)
{
	for (size_t i = 0; i < n; i++) {
		fputs(i ? ", " : "", f);
		json_string(f, columns[i].name, strlen(columns[i].name));
		fputs(": ", f);
		json_value(f, &columns[i], stmt, (int)i);
	}
}

static void json_object(FILE *f, const struct column *columns, size_t n, sqlite3_stmt *stmt)
{
	fputc('{', f);
	output_members(f, columns, n, stmt);
	fputc('}', f);
}

static int json_rows(const struct output *o, const struct column *columns, size_t n, sqlite3_stmt *stmt)
{
	int rc;

	fputc('[', o->file);
	for (uint64_t row = 0; (rc = next_row(o, &stmt, NULL)) == SQLITE_ROW; row++) {
		fputs(row ? ",\n" : "\n", o->file);
		json_object(o->file, columns, n, stmt);
	}
	fputs("\n]\n", o->file);
	return rc == SQLITE_DONE ? 0 : -EIO;
}

static int ndjson_rows(const struct output *o, const struct column *columns, size_t n, sqlite3_stmt *stmt)
{
	int rc;

	while ((rc = next_row(o, &stmt, NULL)) == SQLITE_ROW) {
		json_object(o->file, columns, n, stmt);
		fputc('\n', o->file);
	}
	return rc == SQLITE_DONE ? 0 : -EIO;
}

/* An empty text stands in quotes: nothing at all is NULL. */
static int csv_text(FILE *f, const char *s, size_t n)
{
	char *text = text_printable(s, n);

	if (!text)
		return -ENOMEM;
	bool quotes = !*text || *text == ' ' || text[strlen(text) - 1] == ' ' || strpbrk(text, ",\"");
	fputs(quotes ? "\"" : "", f);
	for (const char *c = text; *c; c++) {
		if (*c == '"')
			fputc('"', f);
		fputc(*c, f);
	}
	fputs(quotes ? "\"" : "", f);
	free(text);
	return 0;
}

static int csv_row(FILE *f, size_t n, sqlite3_stmt *stmt)
{
	int err = 0;

	for (size_t i = 0; i < n && !err; i++) {
		const char *text = (const char *)sqlite3_column_text(stmt, (int)i);
		fputs(i ? "," : "", f);
		err = text ? csv_text(f, text, sqlite3_column_bytes(stmt, (int)i)) : 0;
	}
	fputs("\r\n", f);
	return err;
}

static int csv_rows(const struct output *o, const struct column *columns, size_t n, sqlite3_stmt *stmt)
{
	int rc = SQLITE_DONE, err = 0;

	for (size_t i = 0; i < n && !err; i++) {
		fputs(i ? "," : "", o->file);
		err = csv_text(o->file, columns[i].name, strlen(columns[i].name));
	}
	fputs("\r\n", o->file);
	while (!err && (rc = next_row(o, &stmt, NULL)) == SQLITE_ROW)
		err = csv_row(o->file, n, stmt);
	return err ? err : rc == SQLITE_DONE ? 0 : -EIO;
}

void output_init(struct output *o, FILE *file, enum output_format format, uint64_t start_ns)
{
	static int (*const rows[])(const struct output *, const struct column *, size_t, sqlite3_stmt *) = {
		[OUTPUT_TEXT] = text_rows,
		[OUTPUT_JSON] = json_rows,
		[OUTPUT_NDJSON] = ndjson_rows,
		[OUTPUT_CSV] = csv_rows,
	};

	*o = (struct output){ .file = file, .start_ns = start_ns, .rows = rows[format] };
	o->human = format == OUTPUT_TEXT && terminal_is(file);
	o->width = o->human ? terminal_width(file) : 0;
}

int output_rows(const struct output *o, const struct column *columns, size_t n, sqlite3_stmt *stmt)
{
	return o->rows(o, columns, n, stmt);
}

/* "VALUES (?, ?), (?, ?)" as a string to free, or NULL. */
static char *values_sql(size_t n, size_t rows)
{
	char *sql = NULL;
	size_t size;
	FILE *f = open_memstream(&sql, &size);

	for (size_t i = 0; f && i < n * rows; i++)
		fprintf(f, "%s?%s", i == 0 ? "VALUES (" : i % n ? ", " : ", (", i % n + 1 == n ? ")" : "");
	return f && !fclose(f) ? sql : NULL;
}

int output_texts(const struct output *o, const struct column *columns, size_t n, const char *const *texts,
		 size_t rows)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *stmt = NULL;
	char *sql = values_sql(n, rows);
	int err = -ENOMEM;

	if (sql && !sqlite3_open(":memory:", &db) && !sqlite3_prepare_v2(db, sql, -1, &stmt, NULL)) {
		for (size_t i = 0; i < n * rows; i++)
			sqlite3_bind_text(stmt, (int)i + 1, texts[i], -1, SQLITE_STATIC);
		err = output_rows(o, columns, n, stmt);
	}
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	free(sql);
	return err;
}
