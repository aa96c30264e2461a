/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What people call a process and a channel: pieces of SQL that the views share, so that a thing has one name
 * everywhere. A process is `comm:pid`, `comm:pid#2` where the pid is that of a second process in this trace;
 * behind it stands what sets it apart, if anything does: (server), (listener), (untraced): not recorded,
 * (outside): on another host, or unknown. The other end of a connection to a server is its client, which is
 * not said again; nor that the kernel is not recorded.
 */
#ifndef IPC_NAMES_H
#define IPC_NAMES_H

#include <sqlite3.h>

/* id and life of the processes whose pid another process had before them (names_prepare). */
#define REUSED "temp.reused"

/* `p`: alias of a row of processes, which may be missing. `role`: its endpoint's role, an expression. */
#define PROCESS_NAME(p, role)                                                                                \
	"CASE WHEN " p ".id IS NULL THEN '(outside)' ELSE coalesce(CASE " p ".coverage WHEN 'remote' THEN"   \
	" host_name(" p ".comm) ELSE " p ".comm END, '?') || coalesce(':' || " p ".pid, '') ||"              \
	" coalesce('#' || (SELECT life FROM " REUSED " WHERE id = " p ".id), '') ||"                         \
	" CASE WHEN " p ".coverage = 'remote' THEN ' (outside)' WHEN " p ".coverage = 'untraced' THEN"       \
	" CASE WHEN " p ".pid IS NULL AND " p ".comm IS 'kernel' THEN '' ELSE ' (untraced)' END WHEN " role  \
	" IN ('server', 'listener') THEN ' (' || " role " || ')' ELSE '' END END"

/* `c`: alias of a row of channels. `paired`: a condition, whether it is a socketpair. `otherwise`: what a
 * channel without a name is called. The other end's address is a channel's name where the server is remote.
 */
#define CHANNEL_NAME(c, paired, otherwise)                                                                   \
	"CASE WHEN " c ".name <> '' THEN " c ".mechanism || ' ' || CASE " c                                  \
	".scope WHEN 'network' THEN host_name(" c ".name) ELSE " c ".name END"                               \
	" WHEN " paired " THEN " c ".mechanism || ' socketpair' ELSE " otherwise " END"

/* Edges with what their names are made of: e, its processes s and d, their endpoints ns and nd, channel c,
 * and how many there are at its ends, w. */
#define FROM_EDGES                                                                                           \
	" FROM edges e LEFT JOIN processes s ON s.id = e.src_id LEFT JOIN processes d ON d.id = e.dst_id"    \
	" LEFT JOIN channels c ON c.id = e.channel_id"                                                       \
	" LEFT JOIN endpoints ns ON ns.channel_id = e.channel_id AND ns.process_id = e.src_id"               \
	" LEFT JOIN endpoints nd ON nd.channel_id = e.channel_id AND nd.process_id = e.dst_id"               \
	" LEFT JOIN (SELECT channel_id, sum(sends > 0) AS senders, sum(receives > 0) AS receivers FROM"      \
	" endpoints GROUP BY channel_id) w ON w.channel_id = e.channel_id"
#define EDGE_SRC     PROCESS_NAME("s", "ns.role")
#define EDGE_DST     PROCESS_NAME("d", "nd.role")
#define EDGE_CHANNEL CHANNEL_NAME("c", "ns.role = 'peer'", "e.mechanism")

/* Whether an edge's figures are lower bounds: something on its channel, or in one of its processes, was not
 * seen. Where several send and several receive, what is missing may have moved the rest to a wrong edge: such
 * figures are approximate. */
#define EDGE_BOUND                                                                                           \
	"coalesce((e.partial OR s.coverage IS 'partial' OR d.coverage IS 'partial')"                         \
	" AND (w.senders <= 1 OR w.receivers <= 1), 0)"

/* Whether channel c is a connection, of which there may be several. */
#define IS_CONNECTION "c.mechanism IN ('unix_stream', 'unix_dgram', 'unix_seqpacket', 'tcp', 'udp')"

/* Whether channel c is the memory that libc keeps a named semaphore in: the semaphore has a channel of its
 * own. */
#define IS_SEMAPHORE "(c.mechanism IS 'posix_shm' AND coalesce(c.name, '') LIKE '/dev/shm/sem.%')"

/* Finds out whose pids were used again; before a statement with PROCESS_NAME is prepared. Returns 0 or -EIO.
 */
int names_prepare(sqlite3 *db);

#endif
