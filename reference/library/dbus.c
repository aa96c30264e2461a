// SPDX-License-Identifier: BSD-2-Clause
/*
 * The part of dbus that needs libdbus-1, and the program dbus-daemon: a bus with a socket in a folder of its
 * own. Every consumer is a service with a well-known name, and subscribes to the clients' signal. Each turn
 * of a client is one of: a call with a result, one with an error, one without reply, a signal to all
 * services, a call that passes the read end of a pipe. All carry the message of the core; what comes back,
 * and through the pipe, is its check sum.
 */
#include <dbus/dbus.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../reference.h"

#define INTERFACE "org.ipctrace.Reference"
#define OBJECT	  "/org/ipctrace/Reference"
#define REFUSED	  INTERFACE ".Error.Refused"

enum { CONFIG, SOCKET }; /* files of the folder */
enum { PATIENCE_MS = 60000 };

enum kind { SUM, FAIL, NOTE, TICK, TAKE, KINDS };
static const char *const members[KINDS] = { "Sum", "Fail", "Note", "Tick", "Take" };

static pid_t daemon_pid;
static char address[96];
static int ready[2]; /* a byte of each service that can be called */

/* What the turn `number` of a producer does. */
static enum kind kind_of(const struct reference_run *run, unsigned long number)
{
	return number / run->options.consumers % KINDS;
}

/* The bus */

static const char *find_daemon(const struct reference_options *o)
{
	char path[4096], *rest, *folder;
	(void)o;
	snprintf(path, sizeof(path), "%s", getenv("PATH") ?: "/usr/bin:/bin");
	for (folder = strtok_r(path, ":", &rest); folder; folder = strtok_r(NULL, ":", &rest)) {
		char file[4200];
		snprintf(file, sizeof(file), "%s/dbus-daemon", folder);
		if (!access(file, X_OK))
			return NULL;
	}
	return "it needs the program dbus-daemon (Debian's package of that name)";
}

static int write_config(struct reference_run *run)
{
	FILE *f = fopen(reference_path(CONFIG), "we");
	if (!f)
		return reference_failed(run, reference_path(CONFIG));
	fputs("<busconfig><type>custom</type><auth>EXTERNAL</auth>", f);
	fprintf(f, "<listen>unix:path=%s</listen>", reference_path(SOCKET));
	fputs("<policy context=\"default\"><allow send_destination=\"*\"/><allow receive_sender=\"*\"/>"
	      "<allow own=\"*\"/></policy></busconfig>\n",
	      f);
	return fclose(f) ? reference_failed(run, reference_path(CONFIG)) : 0;
}

static _Noreturn void become_daemon(int told)
{
	char config[64], print[32];
	snprintf(config, sizeof(config), "--config-file=%s", reference_path(CONFIG));
	snprintf(print, sizeof(print), "--print-address=%d", told);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!freopen("/dev/null", "w", stderr)) /* it complains of limits that it does not need */
		_exit(127);
	execlp("dbus-daemon", "dbus-daemon", "--nofork", "--nosyslog", "--nopidfile", config, print, NULL);
	_exit(127);
}

/* It listens once it has told its address. */
static int start_daemon(struct reference_run *run)
{
	int told[2];
	if (pipe(told))
		return reference_failed(run, "pipe");
	daemon_pid = fork();
	if (daemon_pid == 0) {
		close(told[0]);
		become_daemon(told[1]);
	}
	close(told[1]);
	ssize_t n = daemon_pid < 0 ? -1 : read(told[0], address, sizeof(address) - 1);
	close(told[0]);
	if (n <= 0)
		return reference_wrong(run, "dbus-daemon does not start");
	address[strcspn(address, "\n")] = '\0';
	return 0;
}

static int open_bus(struct reference_run *run)
{
	if (reference_make_folder(run) || write_config(run) || start_daemon(run))
		return -1;
	return pipe(ready) ? reference_failed(run, "pipe") : 0;
}

static int close_bus(struct reference_run *run)
{
	if (daemon_pid > 0) {
		kill(daemon_pid, SIGTERM);
		waitpid(daemon_pid, NULL, 0);
	}
	return reference_remove_folder(run);
}

/* Both */

static int wrong(struct reference_run *run, const char *what, DBusError *error)
{
	reference_wrong(run, "%s: %s", what, dbus_error_is_set(error) ? error->message : "out of memory");
	dbus_error_free(error);
	return -1;
}

/* What this process asks of the bus itself: libdbus makes the call, this books it. */
static int called_bus(struct reference_run *run, const char *member, struct reference_call *call)
{
	snprintf(call->name, sizeof(call->name), "%s.%s", DBUS_INTERFACE_DBUS, member);
	return reference_called(run, call, NULL);
}

static DBusConnection *connect_to_bus(struct reference_run *run)
{
	DBusError error = DBUS_ERROR_INIT;
	DBusConnection *bus = dbus_connection_open_private(address, &error);
	struct reference_call hello = reference_calling("", daemon_pid);
	if (!bus || !dbus_bus_register(bus, &error)) {
		wrong(run, "no connection", &error);
		return NULL;
	}
	dbus_connection_set_exit_on_disconnect(bus, FALSE);
	return called_bus(run, "Hello", &hello) ? NULL : bus;
}

static int disconnect(DBusConnection *bus)
{
	dbus_connection_flush(bus);
	dbus_connection_close(bus);
	dbus_connection_unref(bus);
	return 0;
}

static void service_name(unsigned int index, char name[64])
{
	snprintf(name, 64, INTERFACE "%u", index);
}

/* Services */

static int open_service(struct reference_run *run, DBusConnection *bus)
{
	DBusError error = DBUS_ERROR_INIT;
	char name[64];
	struct reference_call call = reference_calling("", daemon_pid);
	service_name(run->index, name);
	if (dbus_bus_request_name(bus, name, DBUS_NAME_FLAG_DO_NOT_QUEUE, &error) !=
	    DBUS_REQUEST_NAME_REPLY_PRIMARY_OWNER)
		return wrong(run, name, &error);
	if (called_bus(run, "RequestName", &call))
		return -1;
	call = reference_calling("", daemon_pid);
	dbus_bus_add_match(bus, "type='signal',interface='" INTERFACE "'", &error);
	if (dbus_error_is_set(&error))
		return wrong(run, "AddMatch", &error);
	if (called_bus(run, "AddMatch", &call))
		return -1;
	return write(ready[1], "", 1) == 1 ? 0 : reference_failed(run, "write");
}

/* The check sum that came through a passed descriptor. */
static int check_passed(struct reference_run *run, int fd, const struct reference_head *m)
{
	uint64_t sum = 0;
	bool right = read(fd, &sum, sizeof(sum)) == (ssize_t)sizeof(sum) && sum == m->checksum;
	close(fd);
	return right ? 0 : reference_wrong(run, "what came through the passed pipe is not the check sum");
}

static DBusMessage *reply_to(DBusMessage *call, enum kind kind, uint64_t sum)
{
	if (kind == FAIL)
		return dbus_message_new_error(call, REFUSED, "as it should be");
	if (kind != SUM && kind != TAKE)
		return NULL;
	DBusMessage *reply = dbus_message_new_method_return(call);
	dbus_message_append_args(reply, DBUS_TYPE_UINT64, &sum, DBUS_TYPE_INVALID);
	return reply;
}

/* A turn of some client. A signal comes to all services, and is booked as taken by the one whose turn it is.
 */
static int serve_one(struct reference_run *run, DBusConnection *bus, DBusMessage *message, enum kind kind)
{
	struct reference_head *m = reference_buffer(run);
	DBusError error = DBUS_ERROR_INIT;
	const char *bytes;
	int size, fd = -1;
	if (!dbus_message_get_args(message, &error, DBUS_TYPE_ARRAY, DBUS_TYPE_BYTE, &bytes, &size,
				   kind == TAKE ? DBUS_TYPE_UNIX_FD : DBUS_TYPE_INVALID, &fd,
				   DBUS_TYPE_INVALID))
		return wrong(run, members[kind], &error);
	memcpy(m, bytes, (size_t)size);
	bool mine = kind != TICK || m->number % run->options.consumers == run->index;
	if ((mine && reference_check(run, m, (size_t)size)) || (kind == TAKE && check_passed(run, fd, m)))
		return -1;
	DBusMessage *reply = reply_to(message, kind, m->checksum);
	if (reply) {
		dbus_connection_send(bus, reply, NULL);
		dbus_connection_flush(bus);
		dbus_message_unref(reply);
	}
	return 0;
}

/* All signals of all clients. */
static unsigned long signals(const struct reference_run *run)
{
	unsigned long count = 0;
	for (unsigned long number = 0; number < run->options.messages; number++)
		count += kind_of(run, number) == TICK;
	return count * run->options.producers;
}

/* What the bus itself tells (NameAcquired) is no turn. */
static enum kind kind_of_message(DBusMessage *message)
{
	enum kind kind = 0;
	while (kind < KINDS && !dbus_message_is_method_call(message, INTERFACE, members[kind]) &&
	       !dbus_message_is_signal(message, INTERFACE, members[kind]))
		kind++;
	return kind;
}

static int serve_all(struct reference_run *run, DBusConnection *bus)
{
	unsigned long ticks = signals(run);
	while (reference_more(run) || ticks > 0) {
		DBusMessage *message = dbus_connection_pop_message(bus);
		enum kind kind = message ? kind_of_message(message) : KINDS;
		if (!message && !dbus_connection_read_write(bus, PATIENCE_MS))
			return reference_wrong(run, "the bus is gone");
		if (kind < KINDS && serve_one(run, bus, message, kind))
			return -1;
		ticks -= kind == TICK;
		if (message)
			dbus_message_unref(message);
	}
	return 0;
}

static int serve(struct reference_run *run)
{
	DBusConnection *bus = connect_to_bus(run);
	return !bus || open_service(run, bus) || serve_all(run, bus) ? -1 : disconnect(bus);
}

/* Clients */

static DBusMessage *make_message(const struct reference_run *run, const struct reference_head *m,
				 enum kind kind, int passed)
{
	char service[64];
	service_name(run->consumer, service);
	DBusMessage *message =
		kind == TICK ? dbus_message_new_signal(OBJECT, INTERFACE, members[kind])
			     : dbus_message_new_method_call(service, OBJECT, INTERFACE, members[kind]);
	dbus_message_append_args(message, DBUS_TYPE_ARRAY, DBUS_TYPE_BYTE, &m, (int)m->size,
				 passed < 0 ? DBUS_TYPE_INVALID : DBUS_TYPE_UNIX_FD, &passed,
				 DBUS_TYPE_INVALID);
	dbus_message_set_no_reply(message, kind == NOTE);
	return message;
}

/* A pipe with the check sum in it. Returns its read end, or -1. */
static int fill_pipe(struct reference_run *run, uint64_t sum)
{
	int ends[2];
	if (pipe(ends) || write(ends[1], &sum, sizeof(sum)) != (ssize_t)sizeof(sum))
		return reference_failed(run, "pipe");
	close(ends[1]);
	return ends[0];
}

static int check_reply(struct reference_run *run, DBusMessage *reply, enum kind kind, uint64_t sum,
		       DBusError *error)
{
	uint64_t got = 0;
	bool right = kind == FAIL ? dbus_error_has_name(error, REFUSED)
				  : reply &&
					    dbus_message_get_args(reply, error, DBUS_TYPE_UINT64, &got,
								  DBUS_TYPE_INVALID) &&
					    got == sum;
	if (reply)
		dbus_message_unref(reply);
	if (!right)
		return wrong(run, members[kind], error);
	dbus_error_free(error);
	return 0;
}

/* A signal is a call of each service. */
static int book(struct reference_run *run, struct reference_call *call, enum kind kind)
{
	static const enum reference_call_kind kinds[KINDS] = {
		[NOTE] = REFERENCE_ONEWAY, [TICK] = REFERENCE_SIGNAL
	};
	int failed = 0;
	call->kind = kinds[kind];
	if (kind != TICK)
		return reference_called(run, call, kind == FAIL ? REFUSED : NULL);
	for (unsigned int i = 0; i < run->options.consumers && !failed; i++) {
		call->to = reference_pid(run, reference_consumer(i));
		failed = reference_called(run, call, NULL);
	}
	return failed;
}

static int turn(struct reference_run *run, DBusConnection *bus, const struct reference_head *m)
{
	DBusError error = DBUS_ERROR_INIT;
	enum kind kind = kind_of(run, m->number);
	char name[64];
	int passed = kind == TAKE ? fill_pipe(run, m->checksum) : -1, failed = 0;
	DBusMessage *message = make_message(run, m, kind, passed);
	snprintf(name, sizeof(name), INTERFACE ".%s", members[kind]);
	struct reference_call call = reference_calling(name, reference_pid(run, run->to));
	if (kind == NOTE || kind == TICK) {
		dbus_connection_send(bus, message, NULL);
		dbus_connection_flush(bus);
	} else {
		DBusMessage *reply =
			dbus_connection_send_with_reply_and_block(bus, message, PATIENCE_MS, &error);
		failed = check_reply(run, reply, kind, m->checksum, &error);
	}
	dbus_message_unref(message);
	if (passed >= 0)
		close(passed);
	if (failed || book(run, &call, kind))
		return -1;
	reference_waited(run, &call);
	return 0;
}

static int call_all(struct reference_run *run)
{
	DBusConnection *bus = connect_to_bus(run);
	const struct reference_head *m;
	if (!bus)
		return -1;
	while ((m = reference_next(run)))
		if (turn(run, bus, m))
			return -1;
	return disconnect(bus);
}

/* Clients begin when all services can be called. */
static int run_all(struct reference_run *run)
{
	int failed = 0;
	char byte;
	for (unsigned int i = 0; i < run->options.consumers && !failed; i++)
		failed = reference_start(run, REFERENCE_CONSUMER, i, serve) < 0;
	close(ready[1]);
	for (unsigned int i = 0; i < run->options.consumers && !failed; i++)
		failed = read(ready[0], &byte, 1) != 1;
	close(ready[0]);
	for (unsigned int i = 0; i < run->options.producers && !failed; i++)
		failed = reference_start(run, REFERENCE_PRODUCER, i, call_all) < 0;
	return reference_wait(run) || failed ? -1 : 0;
}

const struct reference reference_part = {
	.refuses = find_daemon,
	.open = open_bus,
	.run = run_all,
	.close = close_bus,
};
