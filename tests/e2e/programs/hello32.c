// SPDX-License-Identifier: BSD-2-Clause
/* Of 32 bits, with the 32-bit libc and no header of its own. */
int puts(const char *);
int fflush(void *);
void _exit(int);

void _start(void)
{
	puts("hello");
	fflush(0);
	_exit(3);
}
