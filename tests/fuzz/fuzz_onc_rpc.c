// SPDX-License-Identifier: BSD-2-Clause
/* The ONC RPC parser: it survives anything. */
#include "parser.h"

FUZZ_PARSER(onc_rpc)
