/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a person looks at: whether a stream ends at a terminal, how wide that is, its colours, and the pager
 * that long output goes through on its way there.
 */
#ifndef IPC_TERMINAL_H
#define IPC_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* As --color says. AUTO: on a terminal, unless NO_COLOR is set and not empty, or TERM is missing or "dumb".
 */
enum color_mode { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

enum color {
	COLOR_OFF, /* ends each of the others */
	COLOR_HEADING,
	COLOR_MARK, /* what is approximate, or goes without */
	COLOR_BAD,  /* errors, losses */
	COLOR_GOOD,
	COLORS,
};

/* What --color and --no-pager ask for; before anything is written. */
void terminal_begin(enum color_mode mode, bool pager);

/* Whether what is written to `f` ends at a terminal, the pager's too. */
bool terminal_is(FILE *f);

/* Its columns: those of COLUMNS if that is set, else the terminal's own. 0: unknown, or no terminal. */
size_t terminal_width(FILE *f);

/* The sequence that begins this colour on `f`, or "" where there are no colours. */
const char *terminal_color(FILE *f, enum color color);

/* From here on standard output goes through the pager, and standard error too where it is a terminal; nothing
 * happens where standard output is none, or a dumb one, or no pager is wanted or found. */
void terminal_page(void);

/* Writes the rest and waits for the pager, if there is one. */
void terminal_end(void);

#endif
