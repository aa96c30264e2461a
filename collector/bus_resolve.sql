-- SPDX-License-Identifier: BSD-2-Clause
--
-- Who talks to whom through a bus of D-Bus (bus.h): run over a trace that is finished.
--
-- A client leaves SENDER out, the bus sets it in all that it sends: so each message tells which end of its channel is the
-- bus. A connection's unique name is what the bus answers its Hello to. The sender's unique name and the serial tell a
-- message, in the connection that it came from and in those that the bus copied it to. What names services have is known
-- from what the bus hands on to them. Connections that get messages for several others are monitors.

-- Columns of temporary tables have types, as an index serves a comparison only of such.

-- ---- connections ----
-- own: its unique name. bus: a number for each bus; two ends without one in between are a bus of their own.

DROP TABLE IF EXISTS temp.bus_ends;
CREATE TEMP TABLE bus_ends (
	channel_id INTEGER PRIMARY KEY, through_bus INTEGER, daemon INTEGER, client INTEGER, own TEXT, monitor INTEGER,
	bus_key TEXT, bus INTEGER
);
INSERT INTO temp.bus_ends (channel_id, through_bus, daemon, client, own, monitor)
SELECT channel_id, max(sender IS NOT NULL),
	min(CASE WHEN (sender IS NOT NULL) = sent THEN process_id END),
	min(CASE WHEN (sender IS NULL) = sent THEN process_id END),
	max(CASE WHEN kind = 'reply' AND sender = 'org.freedesktop.DBus' THEN
		(SELECT m.destination FROM protocol_messages h WHERE h.id = m.call AND h.member = 'Hello') END),
	count(DISTINCT CASE WHEN sender IS NOT NULL AND destination GLOB ':*' THEN destination END) > 1
FROM protocol_messages m WHERE protocol = 'dbus' AND channel_id IS NOT NULL GROUP BY channel_id;

-- Where its beginning was not seen.
UPDATE temp.bus_ends SET own = (SELECT destination FROM protocol_messages m
	WHERE m.channel_id = bus_ends.channel_id AND sender IS NOT NULL AND destination GLOB ':*' LIMIT 1)
WHERE own IS NULL AND through_bus AND NOT monitor;

-- Where one end has sent nothing.
UPDATE temp.bus_ends SET
	client = ifnull(client, (SELECT CASE count(DISTINCT process_id) WHEN 1 THEN max(process_id) END FROM endpoints n
		WHERE n.channel_id = bus_ends.channel_id AND process_id <> daemon)),
	daemon = ifnull(daemon, (SELECT CASE count(DISTINCT process_id) WHEN 1 THEN max(process_id) END FROM endpoints n
		WHERE n.channel_id = bus_ends.channel_id AND process_id <> client));

-- ---- buses: a channel each ----

DELETE FROM edge_rows WHERE channel_id IN
	(SELECT c.id FROM channel_rows c JOIN mechanisms m ON m.id = c.mechanism WHERE m.name = 'dbus');
DELETE FROM channel_rows WHERE mechanism = (SELECT id FROM mechanisms WHERE name = 'dbus');
UPDATE temp.bus_ends SET bus_key = (SELECT CASE
		WHEN NOT through_bus THEN c.key
		WHEN daemon IS NOT NULL THEN 'process ' || daemon
		ELSE ifnull(nullif(c.name, ''), 'unknown') END
	FROM channel_rows c WHERE c.id = bus_ends.channel_id);
DROP TABLE IF EXISTS temp.buses;
CREATE TEMP TABLE buses (key TEXT PRIMARY KEY, id INTEGER) WITHOUT ROWID;
INSERT INTO temp.buses SELECT bus_key, (SELECT max(id) FROM channel_rows) + row_number() OVER (ORDER BY bus_key)
FROM temp.bus_ends WHERE bus_key IS NOT NULL GROUP BY bus_key;
UPDATE temp.bus_ends SET bus = (SELECT id FROM temp.buses WHERE key = bus_key);
INSERT INTO channel_rows (id, mechanism, key, name, first_ns, last_ns, bytes_sent, bytes_received, partial, lost)
SELECT bus, (SELECT id FROM mechanisms WHERE name = 'dbus'), bus_key, max(c.name), min(c.first_ns), max(c.last_ns), 0, 0, 0, 0
FROM temp.bus_ends JOIN channel_rows c ON c.id = channel_id GROUP BY bus;
UPDATE channel_rows SET key = 'dbus:' || coalesce(
	CASE WHEN key GLOB '*:*' THEN key END, nullif(name, ''), key)
WHERE mechanism = (SELECT id FROM mechanisms WHERE name = 'dbus');

-- ---- names ----

DELETE FROM main.bus_names;
INSERT INTO main.bus_names (name, bus_id, process_id, channel_id, first_ns, last_ns)
SELECT own, bus, client, channel_id, c.first_ns, c.last_ns
FROM temp.bus_ends JOIN channel_rows c ON c.id = channel_id WHERE own IS NOT NULL;
INSERT INTO main.bus_names (name, bus_id, process_id, channel_id, first_ns, last_ns)
SELECT destination, bus, client, channel_id,
	s.ns + min((SELECT ts FROM event_rows e WHERE e.rowid = first_event)),
	s.ns + max((SELECT ts FROM event_rows e WHERE e.rowid = first_event))
FROM protocol_messages JOIN temp.bus_ends USING (channel_id),
	(SELECT CAST(value AS INTEGER) AS ns FROM meta WHERE key = 'start_ns') s
WHERE protocol = 'dbus' AND sender IS NOT NULL AND destination NOT GLOB ':*' AND NOT monitor
GROUP BY destination, channel_id;
INSERT INTO main.bus_names (name, bus_id, process_id, channel_id, first_ns, last_ns)
SELECT 'org.freedesktop.DBus', bus, daemon, NULL, min(c.first_ns), max(c.last_ns)
FROM temp.bus_ends JOIN channel_rows c ON c.id = channel_id WHERE through_bus GROUP BY bus;

DROP TABLE IF EXISTS temp.bus_owners;
CREATE TEMP TABLE bus_owners (name TEXT, bus INTEGER, process INTEGER, PRIMARY KEY (name, bus)) WITHOUT ROWID;
INSERT INTO temp.bus_owners SELECT name, bus_id, max(process_id) FROM main.bus_names
GROUP BY name, bus_id HAVING count(DISTINCT process_id) = 1;

-- ---- who moved a message: the call that sent its first byte, and the one that received its last ----
-- Where a send has several receives the latest had its end. Of what is not the last one in its send that is no later than
-- it was received, and not exact.

DROP TABLE IF EXISTS temp.bus_arrivals;
CREATE TEMP TABLE bus_arrivals (event INTEGER PRIMARY KEY, last INTEGER, recv INTEGER, exact INTEGER);
INSERT OR IGNORE INTO temp.bus_arrivals (event)
SELECT last_event FROM protocol_messages WHERE protocol = 'dbus' AND sent;
UPDATE temp.bus_arrivals SET (recv, exact) = (SELECT e.rowid + (e.link >> 1), 1 - (e.link & 1) FROM event_rows e
	WHERE e.rowid = event AND e.link IS NOT NULL);
DROP TABLE IF EXISTS temp.bus_links;
CREATE TEMP TABLE bus_links (send INTEGER PRIMARY KEY, recv INTEGER, exact INTEGER);
INSERT INTO temp.bus_links SELECT send, max(recv), min(exact) FROM links
WHERE send IN (SELECT event FROM temp.bus_arrivals) GROUP BY send;
UPDATE temp.bus_arrivals SET (recv, exact) = (SELECT l.recv, l.exact FROM temp.bus_links l WHERE l.send = event)
WHERE recv IS NULL;
DROP TABLE IF EXISTS temp.bus_begins;
CREATE TEMP TABLE bus_begins (event INTEGER PRIMARY KEY, id INTEGER);
INSERT INTO temp.bus_begins SELECT first_event, max(id) FROM protocol_messages WHERE protocol = 'dbus' GROUP BY 1;

DROP TABLE IF EXISTS temp.bus_moves;
CREATE TEMP TABLE bus_moves (
	id INTEGER PRIMARY KEY, send INTEGER, recv INTEGER, sender INTEGER, receiver INTEGER, exact INTEGER
);
INSERT INTO temp.bus_moves (id, send, recv, exact)
SELECT m.id, CASE WHEN sent THEN first_event END, CASE WHEN sent THEN n.recv ELSE last_event END,
	m.exact AND ifnull(n.exact, 1) AND NOT (sent AND ifnull(b.id, 0) > m.id)
FROM protocol_messages m LEFT JOIN temp.bus_arrivals n ON sent AND n.event = last_event
LEFT JOIN temp.bus_begins b ON b.event = last_event WHERE protocol = 'dbus';
UPDATE temp.bus_moves SET
	sender = (SELECT t.process_id FROM event_rows e JOIN lanes l ON l.id = e.lane JOIN threads t ON t.id = l.thread_id
		WHERE e.rowid = send),
	receiver = (SELECT t.process_id FROM event_rows e JOIN lanes l ON l.id = e.lane JOIN threads t ON t.id = l.thread_id
		WHERE e.rowid = recv);

-- ---- messages ----

DELETE FROM bus_messages;
DROP TABLE IF EXISTS temp.bus_sent;
CREATE TEMP TABLE bus_sent (
	own TEXT, bus INTEGER, serial INTEGER, id INTEGER, PRIMARY KEY (own, bus, serial, id)
) WITHOUT ROWID;
INSERT INTO temp.bus_sent SELECT own, bus, serial, id FROM protocol_messages JOIN temp.bus_ends USING (channel_id)
WHERE protocol = 'dbus' AND sender IS NULL AND own IS NOT NULL AND serial IS NOT NULL;

-- What the bus sends: its own messages, and copies.
DROP TABLE IF EXISTS temp.bus_hands;
CREATE TEMP TABLE bus_hands (id INTEGER PRIMARY KEY, bus INTEGER, src INTEGER, dst INTEGER, origin INTEGER, own INTEGER);
INSERT INTO temp.bus_hands
SELECT m.id, bus, (SELECT process FROM temp.bus_owners o WHERE o.name = m.sender AND o.bus = e.bus),
	CASE WHEN NOT monitor OR m.destination = own THEN ifnull(v.receiver, client) END,
	ifnull((SELECT max(s.id) FROM temp.bus_sent s WHERE s.own = m.sender AND s.bus = e.bus AND s.serial = m.serial),
		CASE WHEN monitor AND m.destination IS NOT own THEN 0 END),
	m.sender = 'org.freedesktop.DBus'
FROM protocol_messages m JOIN temp.bus_ends e USING (channel_id) JOIN temp.bus_moves v ON v.id = m.id
WHERE protocol = 'dbus' AND m.sender IS NOT NULL;
INSERT INTO bus_messages (id, bus_id, src_id, dst_id, origin, send_event, recv_event, exact)
SELECT h.id, bus, ifnull(o.sender, src), dst, origin, CASE WHEN dst IS NOT NULL THEN o.send END,
	CASE WHEN dst IS NOT NULL THEN v.recv END, v.exact AND o.exact
FROM temp.bus_hands h JOIN temp.bus_moves v ON v.id = h.id
LEFT JOIN temp.bus_moves o ON o.id = CASE WHEN own THEN h.id ELSE origin END;

DROP TABLE IF EXISTS temp.bus_copies;
CREATE TEMP TABLE bus_copies (origin INTEGER PRIMARY KEY, process INTEGER);
INSERT OR IGNORE INTO temp.bus_copies
SELECT origin, dst_id FROM bus_messages WHERE origin AND dst_id IS NOT NULL ORDER BY id;

-- What others send: for who got the copy, else for who is known by that name.
INSERT INTO bus_messages (id, bus_id, src_id, dst_id)
SELECT m.id, bus, CASE WHEN sent THEN m.process_id ELSE client END, CASE
	WHEN NOT through_bus AND v.receiver IS NOT NULL THEN v.receiver
	WHEN NOT through_bus AND m.process_id = client THEN daemon
	WHEN NOT through_bus THEN client
	WHEN m.destination IS NOT NULL THEN ifnull((SELECT process FROM temp.bus_copies c WHERE c.origin = m.id),
		(SELECT process FROM temp.bus_owners o WHERE o.name = m.destination AND o.bus = e.bus))
	END
FROM protocol_messages m JOIN temp.bus_ends e USING (channel_id) JOIN temp.bus_moves v ON v.id = m.id
WHERE protocol = 'dbus' AND m.sender IS NULL;
UPDATE bus_messages SET (send_event, recv_event, exact) = (SELECT v.send, v.recv, v.exact FROM temp.bus_moves v
	WHERE v.id = bus_messages.id AND v.receiver = dst_id)
WHERE id IN (SELECT id FROM protocol_messages WHERE protocol = 'dbus' AND sender IS NULL)
	AND id NOT IN (SELECT origin FROM temp.bus_copies);

-- Descriptors go in the same call of the same thread as the first byte of their message, those of the first message first.
DROP TABLE IF EXISTS temp.bus_passed;
CREATE TEMP TABLE bus_passed (thread INTEGER, ts INTEGER, number INTEGER, id INTEGER, channel INTEGER,
	PRIMARY KEY (thread, ts, number)) WITHOUT ROWID;
INSERT INTO temp.bus_passed
SELECT l.thread_id, e.ts, row_number() OVER (PARTITION BY l.thread_id, e.ts ORDER BY event_id), event_id, channel_id
FROM passed JOIN event_rows e ON e.rowid = event_id JOIN lanes l ON l.id = e.lane;
INSERT OR REPLACE INTO passed (event_id, channel_id, message_id)
SELECT p.id, p.channel, m.id
FROM (SELECT id, first_event, fds, sum(fds) OVER (PARTITION BY first_event ORDER BY id) AS upto FROM protocol_messages
	WHERE protocol = 'dbus' AND fds > 0) m
JOIN event_rows e ON e.rowid = m.first_event JOIN lanes l ON l.id = e.lane
JOIN temp.bus_passed p ON p.thread = l.thread_id AND p.ts = e.ts AND p.number > m.upto - m.fds AND p.number <= m.upto;

-- ---- edges: from who made a message to each that it came to ----
-- Of who is not recorded the other one's call tells.

INSERT INTO edge_rows (src_id, dst_id, channel_id, messages, bytes, first_ns, last_ns, latency_min_ns, latency_p50_ns,
	latency_p90_ns, latency_p99_ns, latency_max_ns, exact, partial)
WITH moved AS (
	SELECT b.src_id AS src, b.dst_id AS dst, b.bus_id AS bus, m.bytes, ifnull(s.ts, e.ts) AS begin,
		ifnull(r.ts + r.dur, e.ts + e.dur) AS end, max(0, r.ts + r.dur - s.ts) AS latency,
		m.exact AND ifnull(b.exact, 1) AS exact
	FROM bus_messages b JOIN protocol_messages m USING (id) JOIN event_rows e ON e.rowid = m.last_event
	JOIN processes p ON p.id = b.src_id JOIN processes q ON q.id = b.dst_id
	LEFT JOIN event_rows s ON s.rowid = b.send_event LEFT JOIN event_rows r ON r.rowid = b.recv_event
	WHERE b.id NOT IN (SELECT origin FROM temp.bus_copies)
		AND (b.send_event IS NOT NULL OR p.coverage IN ('untraced', 'remote'))
		AND (b.recv_event IS NOT NULL OR q.coverage IN ('untraced', 'remote'))
), ranked AS (
	SELECT *, row_number() OVER (PARTITION BY src, dst, bus ORDER BY latency IS NULL, latency) AS rank,
		count(latency) OVER (PARTITION BY src, dst, bus) AS n FROM moved
)
SELECT src, dst, bus, count(*), sum(bytes), start.ns + min(begin), start.ns + max(end), min(latency),
	max(latency) FILTER (WHERE rank = (n * 50 + 99) / 100), max(latency) FILTER (WHERE rank = (n * 90 + 99) / 100),
	max(latency) FILTER (WHERE rank = (n * 99 + 99) / 100), max(latency), min(exact), 0
FROM ranked, (SELECT CAST(value AS INTEGER) AS ns FROM meta WHERE key = 'start_ns') start
GROUP BY 1, 2, 3;

DROP TABLE temp.bus_hands;
DROP TABLE temp.bus_moves;
DROP TABLE temp.bus_begins;
DROP TABLE temp.bus_links;
DROP TABLE temp.bus_arrivals;
DROP TABLE temp.bus_copies;
DROP TABLE temp.bus_passed;
DROP TABLE temp.bus_sent;
DROP TABLE temp.bus_owners;
DROP TABLE temp.buses;
DROP TABLE temp.bus_ends;
