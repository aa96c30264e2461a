// SPDX-License-Identifier: BSD-2-Clause
/* Maps shared and private memory with all of it locked, where that is allowed, and counts what it got. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { SIZE = 1 << 20, MANY = 1100 };

int main(void)
{
	int locked = mlockall(MCL_CURRENT), mapped = 0;
	char *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return 1;
	memset(p, 1, SIZE);
	for (int i = 0; i < MANY; i++) {
		char *q = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		mapped += q != MAP_FAILED;
		if (i % 2 && q != MAP_FAILED)
			munmap(q, 4096);
		free(malloc(200000));
	}
	printf("locked %d mapped %d sum %d\n", locked, mapped, p[0] + p[SIZE - 1]);
	return 0;
}
