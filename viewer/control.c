// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "control.h"

int control_socket(const char *name, size_t length)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int on = 1, fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t size = offsetof(struct sockaddr_un, sun_path) + (length ? 1 + length : 0);

	if (fd < 0)
		return -errno;
	memcpy(address.sun_path + 1, name, length);
	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) ||
	    bind(fd, (struct sockaddr *)&address, length ? size : sizeof(sa_family_t))) {
		int err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

/* The name is the recorder's alone: in a network namespace there may be several pid namespaces. */
void control_open(struct control *c)
{
	char name[64];
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	int length = snprintf(name, sizeof(name), CONTROL_PREFIX "%d/%llx", getpid(),
			      (unsigned long long)now.tv_sec * 1000000000 + (unsigned long long)now.tv_nsec);
	*c = (struct control){ .fd = control_socket(name, (size_t)length) };
}

void control_tell(struct control *c, const char *path, const char *what)
{
	char *absolute = realpath(path, NULL);

	snprintf(c->info, sizeof(c->info), "%s\n%s", absolute ? absolute : path, what ? what : "");
	free(absolute);
}

long control_receive(int fd, char text[static CONTROL_TEXT], struct ucred *who, struct sockaddr_un *from,
		     socklen_t *length)
{
	struct iovec room = { text, CONTROL_TEXT - 1 };
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct ucred))];
	struct msghdr m = { .msg_name = from,
			    .msg_namelen = sizeof(*from),
			    .msg_iov = &room,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
	const struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(&m);

	if (n < 0)
		return -errno;
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_CREDENTIALS)
		return -EPROTO;
	memcpy(who, CMSG_DATA(c), sizeof(*who));
	text[n] = '\0';
	*length = m.msg_namelen;
	return n;
}

static void say(const struct control *c, const char *text, const struct sockaddr_un *to, socklen_t length)
{
	sendto(c->fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)to, length);
}

static void take(struct control *c, const char *text, const struct sockaddr_un *from, socklen_t length)
{
	if (!strcmp(text, CONTROL_INFO))
		say(c, c->info, from, length);
	if (strcmp(text, CONTROL_STOP))
		return;
	c->stop = true;
	if (c->waiting == CONTROL_WAITING)
		return;
	c->who[c->waiting] = *from;
	c->length[c->waiting++] = length;
}

/* So many at a time: whoever asks again and again must not keep us from recording. */
void control_answer(struct control *c)
{
	char text[CONTROL_TEXT];
	struct sockaddr_un from;
	struct ucred who;
	socklen_t length;

	for (unsigned int i = 0; c->fd >= 0 && i < CONTROL_WAITING; i++) {
		long n = control_receive(c->fd, text, &who, &from, &length);
		if (n == -EAGAIN)
			break;
		if (n >= 0 && (!who.uid || who.uid == getuid()))
			take(c, text, &from, length);
		else if (n >= 0)
			say(c, CONTROL_DENIED, &from, length);
	}
}

void control_close(struct control *c)
{
	for (unsigned int i = 0; i < c->waiting; i++)
		say(c, CONTROL_DONE, &c->who[i], c->length[i]);
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}
