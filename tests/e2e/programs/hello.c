// SPDX-License-Identifier: BSD-2-Clause
/* Says hello: for the programs that the shim cannot enter (static, set-uid). */
#include <stdio.h>

int main(void)
{
	puts("hello");
	return 0;
}
