-- SPDX-License-Identifier: BSD-2-Clause
--
-- The trace file. Public are: meta, hosts, mechanisms, calls, processes, threads, channels, endpoints,
-- events, aggregates, messages, edges, mappings, sampled, regions, waits, losses: their names and columns are a contract
-- (docs/schema.md), also where one is a plain table. event_rows, aggregate_rows, links, wakes, lanes, channel_rows,
-- edge_rows and loss_rows are the packed form below them and may change with the next user_version.
--
-- Invariants: the rowids of event_rows are dense from 1 (so VACUUM and .dump keep them); a message stands
-- either in its send's `link` or in one row of `links`, never in both.

PRAGMA application_id = 1229996884; -- 0x49504354, "IPCT"
PRAGMA user_version = 4;

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;

CREATE TABLE hosts (id INTEGER PRIMARY KEY, name TEXT, boot_id TEXT, kernel TEXT);

CREATE TABLE mechanisms (
	id INTEGER PRIMARY KEY, name TEXT, model TEXT, boundary TEXT, matching TEXT, scope TEXT, ends TEXT,
	sources TEXT, capacity TEXT
);

CREATE TABLE calls (
	id INTEGER PRIMARY KEY, name TEXT, nr INTEGER, op_arg INTEGER, op_value INTEGER, verb TEXT,
	object TEXT, object2 TEXT, size TEXT, effect TEXT
);

CREATE TABLE processes (
	id INTEGER PRIMARY KEY, host_id INTEGER, pid INTEGER, ppid INTEGER, parent_id INTEGER, prev_id INTEGER,
	comm TEXT, exe TEXT, cmdline TEXT, uid INTEGER, cgroup TEXT, start_ns INTEGER, end_ns INTEGER,
	exit_status INTEGER, source TEXT, coverage TEXT, ns_pid INTEGER, container TEXT
);

CREATE TABLE threads (
	id INTEGER PRIMARY KEY, process_id INTEGER, tid INTEGER, name TEXT, start_ns INTEGER, end_ns INTEGER
);

CREATE TABLE channel_rows (
	id INTEGER PRIMARY KEY, mechanism INTEGER, key TEXT, name TEXT, first_ns INTEGER, last_ns INTEGER,
	bytes_sent INTEGER, bytes_received INTEGER, partial INTEGER, lost INTEGER
);

CREATE TABLE endpoints (
	id INTEGER PRIMARY KEY, channel_id INTEGER, process_id INTEGER, role TEXT, sends INTEGER, receives INTEGER,
	bytes_sent INTEGER, bytes_received INTEGER, first_ns INTEGER, last_ns INTEGER, send_dur_ns INTEGER,
	receive_dur_ns INTEGER
);

CREATE TABLE edge_rows (
	src_id INTEGER, dst_id INTEGER, channel_id INTEGER, messages INTEGER, bytes INTEGER, pages INTEGER,
	first_ns INTEGER, last_ns INTEGER, latency_min_ns INTEGER, latency_p50_ns INTEGER, latency_p90_ns INTEGER,
	latency_p99_ns INTEGER, latency_max_ns INTEGER, exact INTEGER, partial INTEGER, pages_both INTEGER,
	PRIMARY KEY (src_id, dst_id, channel_id)
) WITHOUT ROWID;

-- Of shared memory, from the call that mapped it to the one that unmapped or protected it.
CREATE TABLE mappings (
	id INTEGER PRIMARY KEY, channel_id INTEGER, process_id INTEGER, start_ns INTEGER, end_ns INTEGER,
	bytes INTEGER, offset INTEGER, protection TEXT
);

-- Shared memory whose pages were looked at.
CREATE TABLE sampled (
	channel_id INTEGER, process_id INTEGER, pages_read INTEGER, pages_written INTEGER,
	PRIMARY KEY (channel_id, process_id)
) WITHOUT ROWID;

-- process_id 0, comm '', mechanism 0 and processor -1 stand for none: NULLs would never meet in the key.
CREATE TABLE loss_rows (
	kind TEXT, source TEXT, reason TEXT, process_id INTEGER, comm TEXT, count INTEGER, first_ns INTEGER,
	last_ns INTEGER, mechanism INTEGER, processor INTEGER,
	PRIMARY KEY (reason, source, process_id, comm, mechanism, processor)
) WITHOUT ROWID;

-- What repeats from event to event.
CREATE TABLE lanes (
	id INTEGER PRIMARY KEY, thread_id INTEGER, endpoint_id INTEGER, fd INTEGER, call INTEGER, flags INTEGER,
	verb TEXT, source TEXT
);

-- ts: start, nanoseconds since meta.start_ns. res: bytes or -errno. link, of a send that one receive took
-- whole: (receive's rowid - own rowid) * 2 + (0 exact, 1 approximate).
CREATE TABLE event_rows (ts INTEGER, dur INTEGER, lane INTEGER, res INTEGER, link INTEGER);

-- Recorded with --aggregate: what an endpoint did in a second. ts: its begin, as in event_rows.
CREATE TABLE aggregate_rows (
	ts INTEGER, process_id INTEGER, endpoint_id INTEGER, call INTEGER, verb TEXT, calls INTEGER, errors INTEGER,
	bytes INTEGER, dur_sum INTEGER, dur_min INTEGER, dur_p50 INTEGER, dur_p90 INTEGER, dur_p99 INTEGER,
	dur_max INTEGER, histogram TEXT
);

-- Every other message: a send that several receives shared, or that was stored before it was matched.
CREATE TABLE links (send INTEGER, recv INTEGER, bytes INTEGER, exact INTEGER);

-- Events that waited. process: who ended the wait. seen: 0 it follows from what was counted (a lock, a semaphore); 1 the
-- kernel told; 2 an interrupt or a thread of the kernel did; 3 a process that is not in the trace.
CREATE TABLE wakes (event INTEGER PRIMARY KEY, process INTEGER, seen INTEGER);

-- What parsers found in the bytes of a channel: a row per message of a protocol, as one end of the channel moved it (sent:
-- the process sent it; else it received it, and who sent it is not in the trace). first_event, last_event: of that
-- process, those that moved its first and last byte. offset: of its first byte in that direction of the channel, as far as
-- that was seen. call: of a reply, the id of the row of its call.
CREATE TABLE protocol_messages (
	id INTEGER PRIMARY KEY, protocol TEXT, kind TEXT, channel_id INTEGER, process_id INTEGER, sent INTEGER,
	first_event INTEGER, last_event INTEGER, offset INTEGER, bytes INTEGER, body_bytes INTEGER, number INTEGER,
	serial INTEGER, name TEXT, status TEXT, failed INTEGER, sender TEXT, destination TEXT, path TEXT, interface TEXT,
	member TEXT, signature TEXT, fds INTEGER, trace_id TEXT, parent_span TEXT, exact INTEGER,
	call INTEGER
);

-- Requests with their replies. kind: 'exchange' (found from the turns alone) or the protocol. parent_id: span_id of the span
-- that it belongs to, in the same trace. end_ns NULL: no reply came. server_ns: from the request's receive to the reply's
-- send, NULL where the server is not in the trace.
CREATE TABLE spans (
	id INTEGER PRIMARY KEY, trace_id TEXT, span_id TEXT, parent_id TEXT, kind TEXT, name TEXT, src_id INTEGER,
	dst_id INTEGER, channel_id INTEGER, start_ns INTEGER, end_ns INTEGER, server_ns INTEGER, status TEXT,
	failed INTEGER, exact INTEGER, pipelined INTEGER, src_tid INTEGER, dst_tid INTEGER, request_bytes INTEGER,
	reply_bytes INTEGER
);

-- How a request came from the thread that received its parent to the one that sent it: each message on the way.
CREATE TABLE span_links (span_id TEXT, parent_id TEXT, hop INTEGER, message_id INTEGER, channel_id INTEGER, exact INTEGER);

-- Who has a name on a bus of D-Bus: unique ones (:1.5), and those that others called it by. bus_id: the bus, a channel of
-- mechanism dbus. channel_id: the connection; NULL: the bus itself.
CREATE TABLE bus_names (
	name TEXT, bus_id INTEGER, process_id INTEGER, channel_id INTEGER, first_ns INTEGER, last_ns INTEGER
);

-- What a bus does with messages of D-Bus. id: of the row in protocol_messages. src_id, dst_id: who made it and who it is for,
-- not counting the bus in between; NULL: not known, or for whoever wants it. origin: of a copy that the bus handed on the row
-- as its sender sent it (0: that is not in the trace, and neither is who this one is for). send_event, recv_event: of what
-- came to who it is for, when its sender sent its first byte and when that one got its last byte; NULL: it came as a copy, or
-- not in the trace. exact: whether both are certain.
CREATE TABLE bus_messages (
	id INTEGER PRIMARY KEY, bus_id INTEGER, src_id INTEGER, dst_id INTEGER, origin INTEGER, send_event INTEGER,
	recv_event INTEGER, exact INTEGER
);

-- Descriptors that were passed, as the event tells it: an end of which channel. message_id: with which message of D-Bus.
CREATE TABLE passed (event_id INTEGER PRIMARY KEY, channel_id INTEGER, message_id INTEGER);
CREATE INDEX passed_messages ON passed (message_id) WHERE message_id IS NOT NULL;

-- The first bytes of what an event moved, where that was asked for (--capture).
CREATE TABLE payloads (event_id INTEGER PRIMARY KEY, data BLOB);

CREATE VIEW channels AS
SELECT c.id, m.name AS mechanism, c.key, c.name, m.scope, c.first_ns, c.last_ns, c.bytes_sent, c.bytes_received,
	c.partial, c.lost, c.id IN (SELECT n.channel_id FROM lanes l JOIN endpoints n ON n.id = l.endpoint_id
	WHERE l.flags & 1) AS nonblocking
FROM channel_rows c LEFT JOIN mechanisms m ON m.id = c.mechanism;

CREATE VIEW events AS
SELECT e.rowid AS id,
	(SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'start_ns') + e.ts AS ts_ns,
	e.dur AS dur_ns, t.process_id, p.pid, t.tid, p.comm, CASE WHEN l.flags & 8192 THEN 'io_uring:' ELSE '' END || k.name AS call, l.verb, m.name AS mechanism,
	n.channel_id, l.fd, CASE WHEN l.verb IN ('send', 'recv') AND e.res > 0 THEN e.res ELSE 0 END AS bytes,
	CASE WHEN e.res < 0 THEN -e.res ELSE 0 END AS errno, l.flags, (l.flags & 4) != 0 AS part, l.source
FROM event_rows e
LEFT JOIN lanes l ON l.id = e.lane
LEFT JOIN threads t ON t.id = l.thread_id
LEFT JOIN processes p ON p.id = t.process_id
LEFT JOIN calls k ON k.id = l.call
LEFT JOIN endpoints n ON n.id = l.endpoint_id
LEFT JOIN channel_rows c ON c.id = n.channel_id
LEFT JOIN mechanisms m ON m.id = c.mechanism;

CREATE VIEW aggregates AS
SELECT (SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'start_ns') + a.ts AS start_ns, a.process_id, p.pid, p.comm,
	a.endpoint_id, n.channel_id, m.name AS mechanism, k.name AS call, a.verb, a.calls, a.errors, a.bytes,
	a.dur_sum AS dur_sum_ns, a.dur_min AS dur_min_ns, a.dur_p50 AS dur_p50_ns, a.dur_p90 AS dur_p90_ns,
	a.dur_p99 AS dur_p99_ns, a.dur_max AS dur_max_ns, a.histogram
FROM aggregate_rows a
LEFT JOIN processes p ON p.id = a.process_id
LEFT JOIN calls k ON k.id = a.call
LEFT JOIN endpoints n ON n.id = a.endpoint_id
LEFT JOIN channel_rows c ON c.id = n.channel_id
LEFT JOIN mechanisms m ON m.id = c.mechanism;

-- Send from s0 to s1, receive from r0 to r1. CROSS JOIN: SQLite keeps the order of the tables, so that the
-- events are read once, in their order. CAST and + 0: both halves must have equal affinities, else SQLite
-- collects all messages before it hands out the first. Messages of D-Bus are behind all others: what carried them has its own.
CREATE VIEW messages AS
SELECT x.id, m.name AS mechanism, coalesce(x.bus, sn.channel_id) AS channel_id,
	st.process_id AS src_id, sp.pid AS src_pid, st.tid AS src_tid, sp.comm AS src_comm,
	rt.process_id AS dst_id, rp.pid AS dst_pid, rt.tid AS dst_tid, rp.comm AS dst_comm,
	(SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'start_ns') + x.s0 AS sent_ns,
	(SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'start_ns') + x.r1 AS received_ns,
	x.r1 - x.s0 AS latency_ns,
	max(0, min(x.s1, x.r1) - x.s0) AS send_blocked_ns,
	max(0, x.r0 - x.s1) AS queued_ns,
	max(0, x.s0 - x.r0) AS recv_blocked_ns,
	x.bytes, x.send AS send_event, x.recv AS recv_event, x.exact, x.protocol_id
FROM (
	SELECT s.rowid AS id, s.rowid AS send, r.rowid AS recv, s.ts AS s0, s.ts + s.dur AS s1, r.ts AS r0,
		r.ts + r.dur AS r1, s.lane AS sl, r.lane AS rl, max(s.res, 0) AS bytes, 1 - (s.link & 1) AS exact,
		CAST(NULL AS INTEGER) AS bus, CAST(NULL AS INTEGER) AS protocol_id
	FROM event_rows s CROSS JOIN event_rows r ON r.rowid = s.rowid + (s.link >> 1)
	UNION ALL
	SELECT CAST(-l.rowid AS INTEGER), l.send, l.recv, s.ts, s.ts + s.dur, r.ts, r.ts + r.dur, s.lane, r.lane,
		l.bytes + 0, l.exact + 0, CAST(NULL AS INTEGER), CAST(NULL AS INTEGER)
	FROM links l CROSS JOIN event_rows s ON s.rowid = l.send CROSS JOIN event_rows r ON r.rowid = l.recv
	UNION ALL
	SELECT CAST(-b.id - ifnull((SELECT max(rowid) FROM links), 0) AS INTEGER), b.send_event, b.recv_event, s.ts,
		s.ts + s.dur, r.ts, r.ts + r.dur, s.lane, r.lane, p.bytes + 0, b.exact + 0, CAST(b.bus_id AS INTEGER),
		CAST(b.id AS INTEGER)
	FROM bus_messages b CROSS JOIN protocol_messages p ON p.id = b.id CROSS JOIN event_rows s ON s.rowid = b.send_event
	CROSS JOIN event_rows r ON r.rowid = b.recv_event
) x
CROSS JOIN lanes sl ON sl.id = x.sl
CROSS JOIN lanes rl ON rl.id = x.rl
LEFT JOIN threads st ON st.id = sl.thread_id
LEFT JOIN threads rt ON rt.id = rl.thread_id
LEFT JOIN processes sp ON sp.id = st.process_id
LEFT JOIN processes rp ON rp.id = rt.process_id
LEFT JOIN endpoints sn ON sn.id = sl.endpoint_id
LEFT JOIN channel_rows c ON c.id = coalesce(x.bus, sn.channel_id)
LEFT JOIN mechanisms m ON m.id = c.mechanism;

CREATE VIEW edges AS
SELECT e.src_id, s.pid AS src_pid, s.comm AS src_comm, e.dst_id, d.pid AS dst_pid, d.comm AS dst_comm,
	m.name AS mechanism, e.channel_id, e.messages, e.bytes, e.pages, e.first_ns, e.last_ns, e.latency_min_ns,
	e.latency_p50_ns, e.latency_p90_ns, e.latency_p99_ns, e.latency_max_ns, e.exact, e.partial, e.pages_both
FROM edge_rows e
LEFT JOIN processes s ON s.id = e.src_id
LEFT JOIN processes d ON d.id = e.dst_id
LEFT JOIN channel_rows c ON c.id = e.channel_id
LEFT JOIN mechanisms m ON m.id = c.mechanism;

-- `pairs`: who shares memory with whom; `others`: what else the same two use.
CREATE VIEW regions AS
WITH pairs AS (
	SELECT DISTINCT e.channel_id, e.src_id, e.dst_id
	FROM mappings m JOIN edge_rows e ON e.src_id = m.process_id AND e.channel_id = m.channel_id
), others AS (
	SELECT p.channel_id, p.src_id, p.dst_id, e.channel_id AS other_id
	FROM pairs p CROSS JOIN edge_rows e ON e.src_id = p.src_id AND e.dst_id = p.dst_id
	UNION ALL
	SELECT p.channel_id, p.src_id, p.dst_id, e.channel_id
	FROM pairs p CROSS JOIN edge_rows e ON e.src_id = p.dst_id AND e.dst_id = p.src_id
), named AS (
	SELECT DISTINCT o.channel_id, o.src_id, o.dst_id, k.id, k.name
	FROM others o JOIN channel_rows c ON c.id = o.other_id JOIN mechanisms k ON k.id = c.mechanism
	WHERE k.boundary <> 'memory' AND k.name <> 'process'
), ends AS (
	SELECT channel_id, src_id AS process_id, id, name FROM named
	UNION
	SELECT channel_id, dst_id, id, name FROM named
	ORDER BY 3
), synchronised AS (
	SELECT channel_id, process_id, group_concat(name, ', ') AS names FROM ends GROUP BY 1, 2
)
SELECT m.channel_id, k.name AS mechanism, c.key, c.name, m.process_id, p.pid, p.comm,
	coalesce(nullif(CASE WHEN max(m.protection GLOB '*r*') THEN 'r' ELSE '' END ||
		CASE WHEN max(m.protection GLOB '*w*') THEN 'w' ELSE '' END ||
		CASE WHEN max(m.protection GLOB '*x*') THEN 'x' ELSE '' END, ''), 'none') AS protection,
	max(m.offset + m.bytes) - min(m.offset) AS bytes, count(*) AS mappings, min(m.start_ns) AS start_ns,
	CASE WHEN count(*) = count(m.end_ns) THEN max(m.end_ns) END AS end_ns,
	coalesce(s.names, 'none') AS synchronised_by, t.pages_read, t.pages_written
FROM mappings m
LEFT JOIN channel_rows c ON c.id = m.channel_id
LEFT JOIN mechanisms k ON k.id = c.mechanism
LEFT JOIN processes p ON p.id = m.process_id
LEFT JOIN synchronised s ON s.channel_id = m.channel_id AND s.process_id = m.process_id
LEFT JOIN sampled t ON t.channel_id = m.channel_id AND t.process_id = m.process_id
GROUP BY m.channel_id, m.process_id;

-- Receives that were entered before the send that ended them: one row per event, by its first message; what waited for
-- a lock or a semaphore; and what the kernel saw woken.
CREATE VIEW waits AS
WITH blocked AS (
	SELECT recv_event, channel_id, mechanism, received_ns, src_id, min(sent_ns)
	FROM messages WHERE recv_blocked_ns > 0 AND protocol_id IS NULL GROUP BY recv_event
)
SELECT x.recv_event AS id, t.process_id, p.pid, t.tid, p.comm, x.channel_id, x.mechanism,
	CASE WHEN l.flags & 8192 THEN 'io_uring:' ELSE '' END || k.name AS call,
	x.received_ns - r.dur AS start_ns, r.dur AS dur_ns, coalesce(w.process, x.src_id) AS woken_by_id,
	CASE w.seen WHEN 1 THEN 'process' WHEN 2 THEN 'indirect' WHEN 3 THEN 'outside' END AS seen
FROM blocked x
JOIN event_rows r ON r.rowid = x.recv_event
LEFT JOIN wakes w ON w.event = x.recv_event
LEFT JOIN lanes l ON l.id = r.lane
LEFT JOIN threads t ON t.id = l.thread_id
LEFT JOIN processes p ON p.id = t.process_id
LEFT JOIN calls k ON k.id = l.call
UNION ALL
SELECT w.event, t.process_id, p.pid, t.tid, p.comm, n.channel_id, m.name,
	CASE WHEN l.flags & 8192 THEN 'io_uring:' ELSE '' END || k.name,
	(SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'start_ns') + r.ts, r.dur, w.process,
	CASE w.seen WHEN 1 THEN 'process' WHEN 2 THEN 'indirect' WHEN 3 THEN 'outside' END
FROM wakes w
JOIN event_rows r ON r.rowid = w.event
LEFT JOIN lanes l ON l.id = r.lane
LEFT JOIN threads t ON t.id = l.thread_id
LEFT JOIN processes p ON p.id = t.process_id
LEFT JOIN calls k ON k.id = l.call
LEFT JOIN endpoints n ON n.id = l.endpoint_id
LEFT JOIN channel_rows c ON c.id = n.channel_id
LEFT JOIN mechanisms m ON m.id = c.mechanism
WHERE w.event NOT IN (SELECT recv_event FROM blocked);

CREATE VIEW losses AS
SELECT l.kind, l.source, l.reason, nullif(l.process_id, 0) AS process_id, nullif(l.comm, '') AS comm, l.count,
	l.first_ns, l.last_ns, CASE WHEN l.mechanism THEN m.name END AS mechanism,
	nullif(l.processor, -1) AS processor
FROM loss_rows l LEFT JOIN mechanisms m ON m.id = l.mechanism;
