#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Who asks for how many pages? Addresses get names from a server. Arguments go to enrich.
./lookup names.sock &
awk 'BEGIN { for (i = 0; i < 300; i++) print "10.0.0." i % 8, "GET /page/" i }' |
	./enrich "$@" names.sock | cut -d' ' -f1 | sort | uniq -c
wait
