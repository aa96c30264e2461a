// SPDX-License-Identifier: BSD-2-Clause
/* The program. All of it is in command.c, so that tests can link everything but this file. */
#include "command.h"

int main(int argc, char **argv)
{
	return command_main(argc, argv);
}
