// SPDX-License-Identifier: BSD-2-Clause
#include "parser.h"

FUZZ_PARSER(jsonrpc)
