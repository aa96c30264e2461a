// SPDX-License-Identifier: BSD-2-Clause
/*
 * A resolver blocks for as long as it likes, so a thread of its own asks it, one address at a time, and is
 * left behind when the time is over. Every answer is kept.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "resolve.h"

enum { HOST_BYTES = INET6_ADDRSTRLEN };

struct answer {
	char host[HOST_BYTES], name[NI_MAXHOST];
	struct answer *next;
};

/* `asked` is the thread's until it says `done`; then it is ours again. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct answer *asked;
	bool done;
	/* Ours alone: */
	bool started, over;
	struct timespec deadline;
	struct answer *answers;
} resolver = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

/* An address as the trace writes it, without port and brackets. Returns false: not one to ask for. */
static bool parse(const char *host, struct sockaddr_storage *out)
{
	struct sockaddr_in *in = (void *)out;
	struct sockaddr_in6 *in6 = (void *)out;

	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		return ntohl(in->sin_addr.s_addr) >> 24 != 127 && in->sin_addr.s_addr;
	}
	if (inet_pton(AF_INET6, host, &in6->sin6_addr) != 1)
		return false;
	in6->sin6_family = AF_INET6;
	return !IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr) && !IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr);
}

static void ask(struct answer *a)
{
	struct sockaddr_storage address;

	parse(a->host, &address);
	if (getnameinfo((struct sockaddr *)&address, sizeof(address), a->name, sizeof(a->name), NULL, 0,
			NI_NAMEREQD))
		a->name[0] = '\0';
}

static void *run(void *unused)
{
	pthread_mutex_lock(&resolver.lock);
	for (;;) {
		while (!resolver.asked || resolver.done)
			pthread_cond_wait(&resolver.changed, &resolver.lock);
		struct answer *a = resolver.asked;
		pthread_mutex_unlock(&resolver.lock);
		ask(a);
		pthread_mutex_lock(&resolver.lock);
		resolver.done = true;
		pthread_cond_broadcast(&resolver.changed);
	}
	return unused;
}

static bool start(void)
{
	pthread_t thread;

	if (resolver.started)
		return true;
	if (pthread_create(&thread, NULL, run, NULL))
		return false;
	pthread_detach(thread);
	clock_gettime(CLOCK_REALTIME, &resolver.deadline);
	resolver.deadline.tv_sec += RESOLVE_MS / 1000;
	return resolver.started = true;
}

/* Returns whether the thread has answered in time. */
static bool wait_for(struct answer *a)
{
	int err = 0;

	pthread_mutex_lock(&resolver.lock);
	resolver.asked = a;
	pthread_cond_broadcast(&resolver.changed);
	while (!resolver.done && !err)
		err = pthread_cond_timedwait(&resolver.changed, &resolver.lock, &resolver.deadline);
	bool answered = resolver.done;
	resolver.asked = answered ? NULL : a;
	resolver.done = false;
	pthread_mutex_unlock(&resolver.lock);
	return answered;
}

/* The name of a host, or NULL: it has none, or there is no time left. */
static const char *name_of(const char *host)
{
	struct sockaddr_storage address;
	struct answer *a = resolver.answers;

	while (a && strcmp(a->host, host))
		a = a->next;
	if (!a && !resolver.over && parse(host, &address) && start()) {
		a = calloc(1, sizeof(*a));
		if (!a)
			return NULL;
		strcpy(a->host, host);
		resolver.over = !wait_for(a);
		if (resolver.over)
			return NULL; /* the thread may still write there */
		a->next = resolver.answers;
		resolver.answers = a;
	}
	return a && *a->name ? a->name : NULL;
}

/* Where the port begins, with its colon: at the end, if there is none. */
static const char *port_of(const char *text)
{
	const char *colon = strrchr(text, ':');
	bool only_host =
		!colon || text[strlen(text) - 1] == ']' || (*text != '[' && strchr(text, ':') != colon);

	return only_host ? text + strlen(text) : colon;
}

static void host_name(sqlite3_context *context, int n, sqlite3_value **values)
{
	const char *text = (const char *)sqlite3_value_text(values[0]);
	const char *name = NULL, *port = NULL;
	char host[HOST_BYTES];

	(void)n;
	if (text && sqlite3_user_data(context)) {
		bool brackets = *text == '[';
		port = port_of(text);
		snprintf(host, sizeof(host), "%.*s", (int)(port - text) - 2 * brackets, text + brackets);
		name = name_of(host);
	}
	char *whole = name ? sqlite3_mprintf("%s%s", name, port) : NULL;
	if (whole)
		sqlite3_result_text(context, whole, -1, sqlite3_free);
	else
		sqlite3_result_value(context, values[0]);
}

int resolve_register(sqlite3 *db, bool ask_resolver)
{
	return sqlite3_create_function(db, "host_name", 1, SQLITE_UTF8, ask_resolver ? &resolver : NULL,
				       host_name, NULL, NULL)
		       ? -ENOMEM
		       : 0;
}
