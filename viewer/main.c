// SPDX-License-Identifier: BSD-2-Clause
/* The program. All else of it is in command.c, so that tests can link everything but this file. */
#include <sqlite3.h>

#include "command.h"

int main(int argc, char **argv)
{
	/* One thread uses it: without locks, which --uprobes would make dear. */
	sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
	return command_main(argc, argv);
}
