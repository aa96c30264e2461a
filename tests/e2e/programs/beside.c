// SPDX-License-Identifier: BSD-2-Clause
/* Writes once by libc, and once by a system-call instruction of its own, which no library in the process
 * sees. */
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	static const char ours[] = "by libc\n", own[] = "beside it\n";
	long result;

	if (write(1, ours, strlen(ours)) != (ssize_t)strlen(ours))
		return 1;
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "0"(SYS_write), "D"(1), "S"(own), "d"(strlen(own))
			 : "rcx", "r11", "memory");
	return result != (long)strlen(own);
}
