// SPDX-License-Identifier: BSD-2-Clause
/* The D-Bus parser: it survives anything. */
#include "parser.h"

FUZZ_PARSER(dbus)
