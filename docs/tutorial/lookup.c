// SPDX-License-Identifier: BSD-2-Clause
/* lookup SOCKET: a server that tells one client the names of addresses. It takes its time, as a slow disk
 * would. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { MILLISECONDS = 3 };

static const char *const names[] = {
	"mail", "web", "backup", "printer", "build", "guest", "phone", "camera"
};

static void serve(int client)
{
	char line[64];
	ssize_t n;

	while ((n = read(client, line, sizeof(line) - 1)) > 0) {
		unsigned int last = 0;
		line[n] = 0;
		sscanf(line, "10.0.0.%u", &last);
		nanosleep(&(struct timespec){ .tv_nsec = MILLISECONDS * 1000000L }, NULL);
		n = snprintf(line, sizeof(line), "%s\n", names[last % 8]);
		if (write(client, line, (size_t)n) < 0)
			break;
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_STREAM, 0);

	if (argc != 2)
		return 2;
	strncpy(address.sun_path, argv[1], sizeof(address.sun_path) - 1);
	unlink(address.sun_path);
	if (bind(s, (struct sockaddr *)&address, sizeof(address)) || listen(s, 8))
		return 1;
	serve(accept(s, NULL, NULL));
	return 0;
}
