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

-- ---- messages ----

DELETE FROM bus_messages;
DROP TABLE IF EXISTS temp.bus_sent;
CREATE TEMP TABLE bus_sent (
	own TEXT, bus INTEGER, serial INTEGER, id INTEGER, PRIMARY KEY (own, bus, serial, id)
) WITHOUT ROWID;
INSERT INTO temp.bus_sent SELECT own, bus, serial, id FROM protocol_messages JOIN temp.bus_ends USING (channel_id)
WHERE protocol = 'dbus' AND sender IS NULL AND own IS NOT NULL AND serial IS NOT NULL;

-- What the bus sends: its own messages, and copies.
INSERT INTO bus_messages (id, bus_id, src_id, dst_id, origin)
SELECT m.id, bus, (SELECT process FROM temp.bus_owners o WHERE o.name = m.sender AND o.bus = e.bus),
	CASE WHEN NOT monitor OR m.destination = own THEN client END,
	ifnull((SELECT max(s.id) FROM temp.bus_sent s WHERE s.own = m.sender AND s.bus = e.bus AND s.serial = m.serial),
		CASE WHEN monitor AND m.destination IS NOT own THEN 0 END)
FROM protocol_messages m JOIN temp.bus_ends e USING (channel_id) WHERE protocol = 'dbus' AND sender IS NOT NULL;

DROP TABLE IF EXISTS temp.bus_copies;
CREATE TEMP TABLE bus_copies (origin INTEGER PRIMARY KEY, process INTEGER);
INSERT OR IGNORE INTO temp.bus_copies
SELECT origin, dst_id FROM bus_messages WHERE origin AND dst_id IS NOT NULL ORDER BY id;

-- What others send: for who got the copy, else for who is known by that name.
INSERT INTO bus_messages (id, bus_id, src_id, dst_id, origin)
SELECT m.id, bus, CASE WHEN sent THEN m.process_id ELSE client END, CASE
	WHEN NOT through_bus AND NOT sent THEN m.process_id
	WHEN NOT through_bus AND m.process_id = client THEN daemon
	WHEN NOT through_bus THEN client
	WHEN m.destination IS NOT NULL THEN ifnull((SELECT process FROM temp.bus_copies c WHERE c.origin = m.id),
		(SELECT process FROM temp.bus_owners o WHERE o.name = m.destination AND o.bus = e.bus))
	END, NULL
FROM protocol_messages m JOIN temp.bus_ends e USING (channel_id) WHERE protocol = 'dbus' AND sender IS NULL;

-- Descriptors go in the same call of the same thread.
DROP TABLE IF EXISTS temp.bus_passed;
CREATE TEMP TABLE bus_passed (thread INTEGER, ts INTEGER, id INTEGER, PRIMARY KEY (thread, ts)) WITHOUT ROWID;
INSERT OR IGNORE INTO temp.bus_passed SELECT l.thread_id, e.ts, e.rowid FROM event_rows e JOIN lanes l ON l.id = e.lane
WHERE l.id IN (SELECT l.id FROM lanes l JOIN endpoints n ON n.id = l.endpoint_id JOIN channel_rows c ON c.id = n.channel_id
		JOIN mechanisms k ON k.id = c.mechanism WHERE k.name = 'fd_passing')
	AND EXISTS (SELECT 1 FROM protocol_messages WHERE protocol = 'dbus' AND fds > 0)
ORDER BY e.rowid;
UPDATE bus_messages SET passed = (SELECT p.id FROM protocol_messages m JOIN event_rows e ON e.rowid = m.first_event
	JOIN lanes l ON l.id = e.lane JOIN temp.bus_passed p ON p.thread = l.thread_id AND p.ts = e.ts
	WHERE m.id = bus_messages.id)
WHERE id IN (SELECT id FROM protocol_messages WHERE protocol = 'dbus' AND fds > 0);

-- ---- edges: from who made a message to each that it came to ----

INSERT INTO edge_rows (src_id, dst_id, channel_id, messages, bytes, first_ns, last_ns, exact, partial)
SELECT b.src_id, b.dst_id, b.bus_id, count(*), sum(m.bytes), min(s.ns + e.ts), max(s.ns + e.ts + e.dur), min(m.exact), 0
FROM bus_messages b JOIN protocol_messages m USING (id) JOIN event_rows e ON e.rowid = m.last_event,
	(SELECT CAST(value AS INTEGER) AS ns FROM meta WHERE key = 'start_ns') s
WHERE b.src_id IS NOT NULL AND b.dst_id IS NOT NULL AND b.id NOT IN (SELECT origin FROM temp.bus_copies)
GROUP BY 1, 2, 3;

DROP TABLE temp.bus_copies;
DROP TABLE temp.bus_passed;
DROP TABLE temp.bus_sent;
DROP TABLE temp.bus_owners;
DROP TABLE temp.buses;
DROP TABLE temp.bus_ends;
