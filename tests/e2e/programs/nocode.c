// SPDX-License-Identifier: BSD-2-Clause
/* Forbids itself, and what it executes, to make memory executable; then runs its arguments. 77: the kernel
 * cannot. */
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { SET_MDWE = 65, REFUSE_EXEC_GAIN = 1 }; /* PR_SET_MDWE, Linux 6.3 */

int main(int argc, char **argv)
{
	if (argc < 2 || prctl(SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0))
		return 77;
	execvp(argv[1], argv + 1);
	perror(argv[1]);
	return 1;
}
