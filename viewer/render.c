// SPDX-License-Identifier: BSD-2-Clause
/*
 * A table's widths are those of its first rows (HELD); they are held back until the widths are known, later
 * rows stream, so that millions of rows cost no memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "render.h"

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
	if (!g->o->human || c->unit == UNIT_TEXT || sqlite3_column_type(stmt, i) != SQLITE_INTEGER)
		return cell_text(stmt, i);
	unit_format(text, sizeof(text), c->unit, sqlite3_column_int64(stmt, i), g->o->start_ns);
	return asprintf(&out, "%s%s", mark_of(g, c, stmt), text) < 0 ? NULL : out;
}

static bool is_left(const struct grid *g, size_t i)
{
	return g->columns[g->shown[i]].unit == UNIT_TEXT;
}

static size_t least_width(const struct grid *g, size_t i)
{
	return is_left(g, i) && g->widths[i] > NARROWEST ? NARROWEST : g->widths[i];
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
			if (is_left(g, i) && g->widths[i] > best)
				best = g->widths[widest = i];
		g->widths[widest]--;
		total--;
	}
}

/* Bytes of `s` that are at most `width` columns wide. */
static int bytes_within(const char *s, size_t width)
{
	int n = 0;

	while (s[n] && (width || (s[n] & 0xc0) == 0x80))
		width -= (s[n++] & 0xc0) != 0x80;
	return n;
}

/* A text that is too wide keeps its beginning and its end (a pid, a port, a file's name); before that it
 * gives up what is said in brackets behind it. Returns the width that it takes. */
static size_t print_shortened(FILE *f, const char *s, size_t room)
{
	const char *remark = strstr(s, " (");
	size_t width = text_width(s) - (remark ? text_width(remark) : 0);
	size_t tail = remark && width + 2 <= room ? 0 : (room - 2) / 2;
	size_t head = tail ? room - 2 - tail : width;
	const char *end = s + bytes_within(s, width - tail);

	fprintf(f, "%.*s..%.*s", bytes_within(s, head), s, bytes_within(end, tail), end);
	return head + 2 + tail;
}

static void print_cell(const struct grid *g, const char *s, size_t i)
{
	FILE *f = g->o->file;
	size_t width = text_width(s), room = g->widths[i];
	bool last = i + 1 == g->fits;

	if (is_left(g, i) && g->o->width && width > room) {
		width = print_shortened(f, s, room);
	} else {
		int pad = width < room ? (int)(room - width) : 0;
		fprintf(f, "%*s%s", is_left(g, i) ? 0 : pad, "", s);
		width = is_left(g, i) ? width : room;
	}
	if (!last)
		fprintf(f, "%*s", (int)(width < room ? room - width + GAP : GAP), "");
}

static void print_row(const struct grid *g, char *const *cells, bool heading)
{
	if (heading && g->o->bold)
		fputs("\033[1m", g->o->file);
	for (size_t i = 0; i < g->fits; i++)
		print_cell(g, cells[i], i);
	fputs(heading && g->o->bold ? "\033[m\n" : "\n", g->o->file);
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

/* Adds a row: of headings where `stmt` is NULL. */
static int grid_add(struct grid *g, sqlite3_stmt *stmt)
{
	char **cells = g->cells + g->rows * g->width;

	for (size_t i = 0; i < g->width; i++) {
		const struct column *c = &g->columns[g->shown[i]];
		cells[i] = stmt ? cell(g, stmt, g->shown[i]) : strdup(g->o->human ? c->heading : c->name);
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
	g->cells = calloc(g->n * (HELD + 1), sizeof(*g->cells));
	if (!g->shown || !g->widths || !g->cells)
		return -ENOMEM;
	for (size_t i = 0; i < g->n; i++) {
		if (!strcmp(g->columns[i].name, "exact"))
			g->exact = i;
		if (!strcmp(g->columns[i].name, "lower_bound"))
			g->bound = i;
		/* Where no mark stands before a figure the column has to say it. */
		if (g->columns[i].heading || (!g->o->human && (g->exact == (int)i || g->bound == (int)i)))
			g->shown[g->width++] = i;
		if (!strcmp(g->columns[i].name, "connections"))
			g->connections = i;
	}
	g->fits = g->width;
	return 0;
}

static int text_rows(const struct output *o, const struct column *columns, size_t n, sqlite3_stmt *stmt)
{
	struct grid g = { .o = o, .columns = columns, .n = n, .exact = -1, .bound = -1, .connections = -1 };
	int rc = SQLITE_DONE, err = grid_init(&g);

	if (!err)
		err = grid_add(&g, NULL);
	while (!err && (rc = sqlite3_step(stmt)) == SQLITE_ROW)
		err = grid_add(&g, stmt);
	grid_flush(&g);
	free(g.shown);
	free(g.widths);
	free(g.cells);
	return err ? err : rc == SQLITE_DONE ? 0 : -EIO;
}

static void json_value(FILE *f, sqlite3_stmt *stmt, int i)
{
	const char *bytes;

	switch (sqlite3_column_type(stmt, i)) {
	case SQLITE_INTEGER:
		fprintf(f, "%lld", sqlite3_column_int64(stmt, i));
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

static int json_rows(const struct output *o, const struct column *columns, size_t n, sqlite3_stmt *stmt)
{
	int rc;

	fputc('[', o->file);
	for (uint64_t row = 0; (rc = sqlite3_step(stmt)) == SQLITE_ROW; row++) {
		fputs(row ? ",\n{" : "\n{", o->file);
		for (size_t i = 0; i < n; i++) {
			fputs(i ? ", " : "", o->file);
			json_string(o->file, columns[i].name, strlen(columns[i].name));
			fputs(": ", o->file);
			json_value(o->file, stmt, i);
		}
		fputc('}', o->file);
	}
	fputs("\n]\n", o->file);
	return rc == SQLITE_DONE ? 0 : -EIO;
}

void output_init(struct output *o, FILE *file, bool json, uint64_t start_ns)
{
	struct winsize size;
	const char *no_color = getenv("NO_COLOR");

	*o = (struct output){ .file = file, .start_ns = start_ns, .rows = json ? json_rows : text_rows };
	o->human = !json && isatty(fileno(file));
	if (!o->human)
		return;
	o->bold = !no_color || !*no_color;
	if (!ioctl(fileno(file), TIOCGWINSZ, &size))
		o->width = size.ws_col;
}

int output_rows(const struct output *o, const struct column *columns, size_t n, sqlite3_stmt *stmt)
{
	return o->rows(o, columns, n, stmt);
}
