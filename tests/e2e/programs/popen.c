// SPDX-License-Identifier: BSD-2-Clause
/* popen for reading and for writing, and system: libc forks, connects and writes by itself. */
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
	char line[256];
	FILE *from = popen("ls /usr; echo done", "r");
	if (!from)
		return 1;
	while (fgets(line, sizeof(line), from))
		fputs(line, stdout);
	int status = pclose(from);
	fflush(stdout);
	FILE *to = popen("tr a-z A-Z", "w");
	if (!to)
		return 1;
	for (int i = 0; i < 1000; i++)
		fprintf(to, "line %d\n", i);
	status |= pclose(to);
	status |= system("echo system | cat");
	return status ? 1 : 0;
}
