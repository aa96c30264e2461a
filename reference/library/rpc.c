// SPDX-License-Identifier: BSD-2-Clause
/*
 * The part of rpc that needs libtirpc, and what rpcgen makes of sum.x. Every consumer serves a socket of its
 * own, whose address the clients know: no portmapper. Every third call is of a procedure that there is not.
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "../reference.h"
#include "sum.h"

enum { TCP, UDP, UNIX }; /* by the number of the variant */
enum { MISSING = 99, PATIENCE_S = 60, ROOM = REFERENCE_DATA_MAX + 400 };

void reference_program_1(struct svc_req *request, SVCXPRT *transport);

static struct server {
	int fd;
	struct sockaddr_storage name;
	socklen_t size;
} servers[REFERENCE_TASKS_MAX];

static struct reference_run *own; /* of a server */
static bool damaged;

static int type_of(const struct reference_run *run)
{
	return run->options.variant == UDP ? SOCK_DGRAM : SOCK_STREAM;
}

static int open_servers(struct reference_run *run)
{
	if (reference_make_folder(run))
		return -1;
	for (unsigned int i = 0; i < run->options.consumers; i++) {
		struct server *s = &servers[i];
		s->size = run->options.variant == UNIX ? reference_path_name(i, &s->name)
						       : reference_ip_name(i, &s->name);
		s->fd = socket(s->name.ss_family, type_of(run), 0);
		if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&s->name, s->size) ||
		    getsockname(s->fd, (struct sockaddr *)&s->name, &s->size) ||
		    (run->options.variant != UDP && listen(s->fd, SOMAXCONN)))
			return reference_failed(run, "a server's socket");
	}
	return 0;
}

static int leave_servers(struct reference_run *run)
{
	for (unsigned int i = 0; i < run->options.consumers; i++)
		close(servers[i].fd);
	return 0;
}

/* The server */

bool_t reference_sum_1_svc(reference_data *data, u_quad_t *sum, struct svc_req *request)
{
	const struct reference_head *m = (const void *)data->reference_data_val;
	(void)request;
	if (reference_check(own, m, data->reference_data_len)) {
		damaged = true;
		svc_exit();
		return FALSE;
	}
	*sum = m->checksum;
	return TRUE;
}

int reference_program_1_freeresult(SVCXPRT *transport, xdrproc_t xdr, caddr_t result)
{
	(void)transport, (void)xdr, (void)result; /* it is a number */
	return TRUE;
}

static void dispatch(struct svc_req *request, SVCXPRT *transport)
{
	own->taken += request->rq_proc == MISSING;
	reference_program_1(request, transport);
	if (!reference_more(own))
		svc_exit();
}

static int serve(struct reference_run *run)
{
	int fd = servers[run->index].fd;
	own = run;
	for (unsigned int i = 0; i < run->options.consumers; i++)
		if (i != run->index)
			close(servers[i].fd);
	if (!reference_more(run))
		return 0;
	SVCXPRT *transport =
		run->options.variant == UDP ? svc_dg_create(fd, ROOM, ROOM) : svc_vc_create(fd, 0, 0);
	if (!transport || !svc_reg(transport, REFERENCE_PROGRAM, REFERENCE_VERSION, dispatch, NULL))
		return reference_wrong(run, "libtirpc makes no server of the socket");
	svc_run();
	return damaged || reference_more(run) ? -1 : 0;
}

/* The client */

static CLIENT *connect_to(struct reference_run *run, const struct server *s)
{
	struct netbuf address = { .maxlen = s->size, .len = s->size, .buf = (void *)(uintptr_t)&s->name };
	bool udp = run->options.variant == UDP;
	int fd = socket(s->name.ss_family, type_of(run), 0);
	if (fd < 0 || (!udp && connect(fd, (const struct sockaddr *)&s->name, s->size))) {
		reference_failed(run, "connect");
		return NULL;
	}
	CLIENT *client = udp ? clnt_dg_create(fd, &address, REFERENCE_PROGRAM, REFERENCE_VERSION, ROOM, ROOM)
			     : clnt_vc_create(fd, &address, REFERENCE_PROGRAM, REFERENCE_VERSION, 0, 0);
	struct timeval again = { .tv_sec = PATIENCE_S };
	if (!client)
		reference_wrong(run, "%s", clnt_spcreateerror("no client"));
	else if (udp) /* nothing gets lost: a call must not be made twice */
		clnt_control(client, CLSET_RETRY_TIMEOUT, (char *)&again);
	if (client)
		clnt_control(client, CLSET_FD_CLOSE, NULL);
	return client;
}

/* xdr_void(3), of the type that calls take. */
static bool_t nothing(XDR *xdr, ...)
{
	(void)xdr;
	return TRUE;
}

static int call_one(struct reference_run *run, CLIENT *client, const struct reference_head *m)
{
	bool missing = m->number % 3 == 2;
	reference_data data = { .reference_data_len = m->size, .reference_data_val = (char *)(uintptr_t)m };
	u_quad_t sum = 0;
	char name[64];
	snprintf(name, sizeof(name), "%d v%d proc %d", REFERENCE_PROGRAM, REFERENCE_VERSION,
		 missing ? MISSING : REFERENCE_SUM);
	struct reference_call call = reference_calling(name, reference_pid(run, run->to));
	enum clnt_stat status = missing ? clnt_call(client, MISSING, nothing, NULL, nothing, NULL,
						    ((struct timeval){ .tv_sec = PATIENCE_S }))
					: reference_sum_1(&data, &sum, client);
	if (status != (missing ? RPC_PROCUNAVAIL : RPC_SUCCESS) || (!missing && sum != m->checksum))
		return reference_wrong(run, "%s", clnt_sperror(client, name));
	if (reference_called(run, &call, missing ? "PROC_UNAVAIL" : NULL))
		return -1;
	reference_waited(run, &call);
	return 0;
}

static int produce(struct reference_run *run)
{
	CLIENT *clients[REFERENCE_TASKS_MAX] = { 0 };
	const struct reference_head *m;
	leave_servers(run);
	while ((m = reference_next(run))) {
		CLIENT **client = &clients[run->consumer];
		if (!*client)
			*client = connect_to(run, &servers[run->consumer]);
		if (!*client || call_one(run, *client, m))
			return -1;
	}
	for (unsigned int i = 0; i < run->options.consumers; i++)
		if (clients[i])
			clnt_destroy(clients[i]);
	return 0;
}

const struct reference reference_part = {
	.open = open_servers,
	.produce = produce,
	.consume = serve,
	.leave = leave_servers,
	.close = reference_remove_folder,
};
