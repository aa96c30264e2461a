// SPDX-License-Identifier: BSD-2-Clause
/*
 * The pager is our child and reads a pipe that stands in the place of standard output. It, not we, owns the
 * terminal's keys: so whatever ends us waits for it first, or a shell and a pager would both read them.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "launch.h"
#include "terminal.h"

static struct {
	enum color_mode mode;
	bool unpaged;
	pid_t pager;	/* 0: there is none */
	bool errors;	/* standard error goes through it too */
	size_t columns; /* of the terminal behind it */
} terminal;

void terminal_begin(enum color_mode mode, bool pager)
{
	terminal.mode = mode;
	terminal.unpaged = !pager;
}

static bool is_paged(int fd)
{
	return terminal.pager && (fd == STDOUT_FILENO || (fd == STDERR_FILENO && terminal.errors));
}

bool terminal_is(FILE *f)
{
	return is_paged(fileno(f)) || isatty(fileno(f));
}

size_t terminal_width(FILE *f)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;
	char *end;

	if (!terminal_is(f))
		return 0;
	long n = columns ? strtol(columns, &end, 10) : 0;
	if (n > 0 && !*end)
		return (size_t)n;
	if (is_paged(fileno(f)))
		return terminal.columns;
	return ioctl(fileno(f), TIOCGWINSZ, &size) ? 0 : size.ws_col;
}

/* Whether the terminal can do nothing but write lines. */
static bool is_dumb(void)
{
	const char *kind = getenv("TERM");

	return !kind || !strcmp(kind, "dumb");
}

static bool has_colors(FILE *f)
{
	const char *no_color = getenv("NO_COLOR");

	if (terminal.mode != COLOR_AUTO)
		return terminal.mode == COLOR_ALWAYS;
	return terminal_is(f) && (!no_color || !*no_color) && !is_dumb();
}

const char *terminal_color(FILE *f, enum color color)
{
	static const char *const sequences[COLORS] = {
		[COLOR_OFF] = "\033[m",	  [COLOR_HEADING] = "\033[1m", [COLOR_MARK] = "\033[33m",
		[COLOR_BAD] = "\033[31m", [COLOR_GOOD] = "\033[32m",
	};

	return has_colors(f) ? sequences[color] : "";
}

/* What is in the user's words for a shell, or NULL: none is wanted, or it is not there. */
static const char *pager_command(void)
{
	const char *command = getenv("IPCTRACE_PAGER") ?: getenv("PAGER") ?: "less";
	char *word = strndup(command, strcspn(command, " \t"));
	char *path = word && *word && strcmp(command, "cat") != 0 ? launch_resolve(word) : NULL;
	/* What only a shell understands is left to it. */
	bool there = path ? !access(path, X_OK) : word && strpbrk(word, "=|&;<>()$`\\\"'*?[~") != NULL;

	free(path);
	free(word);
	return there ? command : NULL;
}

/* To less: leave at once what fits the screen, show colours, leave the text where it is. */
static void run_pager(const char *command, int input)
{
	dup2(input, STDIN_FILENO);
	setenv("LESS", "FRX", 0);
	setenv("LV", "-c", 0);
	execl("/bin/sh", "sh", "-c", command, NULL);
	_exit(EXIT_NOT_FOUND);
}

static void let_go(void)
{
	close(STDOUT_FILENO);
	if (terminal.errors)
		close(STDERR_FILENO);
	while (waitpid(terminal.pager, NULL, 0) < 0 && errno == EINTR)
		;
}

/* Async-signal-safe. Who leaves the pager early has seen enough: that is no failure. */
static void on_signal(int sig)
{
	let_go();
	if (sig == SIGPIPE)
		_exit(EXIT_SUCCESS);
	signal(sig, SIG_DFL);
	raise(sig);
}

static void take_signals(void)
{
	static const int signals[] = { SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	struct sigaction old, ours = { .sa_handler = on_signal };

	sigfillset(&ours.sa_mask);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (!sigaction(signals[i], NULL, &old) &&
		    (old.sa_handler == SIG_DFL || signals[i] == SIGPIPE))
			sigaction(signals[i], &ours, NULL);
}

void terminal_page(void)
{
	const char *command =
		terminal.unpaged || is_dumb() || !isatty(STDOUT_FILENO) ? NULL : pager_command();
	bool errors = isatty(STDERR_FILENO);
	size_t columns = terminal_width(stdout);
	int ends[2];

	if (!command || terminal.pager || pipe2(ends, O_CLOEXEC))
		return;
	fflush(NULL);
	pid_t pid = fork();
	if (!pid)
		run_pager(command, ends[0]);
	if (pid > 0) {
		terminal.pager = pid;
		terminal.errors = errors;
		terminal.columns = columns;
		take_signals();
		dup2(ends[1], STDOUT_FILENO);
		if (errors)
			dup2(ends[1], STDERR_FILENO);
	}
	close(ends[0]);
	close(ends[1]);
}

void terminal_end(void)
{
	if (!terminal.pager)
		return;
	fflush(NULL);
	let_go();
	terminal.pager = 0;
}
