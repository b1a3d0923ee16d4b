-- Every statement of the SQLite journal. `-- name:` begins one; a blank line ends it.

-- name: find_stream
SELECT number, epoch, driver,
  ((SELECT max(id) FROM events WHERE id > number << 32 AND id < (number + 1) << 32) & 0xffffffff)
FROM streams WHERE run = ?

-- name: find_streams
SELECT run, number, epoch, driver,
  ((SELECT max(id) FROM events WHERE id > number << 32 AND id < (number + 1) << 32) & 0xffffffff)
FROM streams
WHERE run IN (SELECT value FROM json_each(?))

-- name: find_append
SELECT append FROM events WHERE id = (? << 32) + ?

-- name: find_outcome
SELECT first, last FROM appends WHERE stream = ? AND id = ?

-- name: add_stream
INSERT INTO streams (run, epoch, driver) VALUES (?, ?, ?)

-- name: release_stream
UPDATE streams SET driver = NULL WHERE number = ?

-- name: claim_stream
UPDATE streams SET epoch = epoch + 1, driver = ? WHERE run = ?

-- name: add_event
INSERT INTO events (id, append, payload, crc) VALUES ((? << 32) + ?, ?, ?, ?)

-- name: add_outcome
INSERT INTO appends (stream, id, first, last, at) VALUES (?, ?, ?, ?, ?)

-- The tail is 0 for a stream without events, NULL for no stream.
-- name: stream
SELECT epoch, driver, coalesce(((SELECT max(id) FROM events WHERE id > number << 32 AND id < (number + 1) << 32) & 0xffffffff), 0)
FROM streams WHERE run = ?

-- name: events
SELECT id & 0xffffffff, payload, crc FROM events
WHERE id > (SELECT (number << 32) + ?2 FROM streams WHERE run = ?1)
  AND id < (SELECT (number + 1) << 32 FROM streams WHERE run = ?1) ORDER BY id LIMIT ?3

-- The first event after all of a stream: the first of another that is known, unless an id was damaged.
-- name: event_after_stream
SELECT id & 0xffffffff, (SELECT count(*) FROM streams WHERE number = id >> 32) FROM events
WHERE id >= (SELECT (number + 1) << 32 FROM streams WHERE run = ?) ORDER BY id LIMIT 1

-- name: event
SELECT id & 0xffffffff, payload, crc FROM events
WHERE id = (SELECT (number << 32) + ?2 FROM streams WHERE run = ?1)

-- name: streams
SELECT run, epoch, coalesce(((SELECT max(id) FROM events WHERE id > number << 32 AND id < (number + 1) << 32) & 0xffffffff), 0), driver
FROM streams WHERE run > ? ORDER BY run LIMIT ?

-- name: uses
SELECT digest FROM blob_uses JOIN blobs ON number = blob
WHERE stream = (SELECT number FROM streams WHERE run = ?)

-- name: all_registers
SELECT space, key, value, version, expires FROM registers
WHERE (space, key) > (?, ?) ORDER BY space, key LIMIT ?

-- name: register
SELECT value, version, expires FROM registers WHERE space = ? AND key = ?

-- Keys from a prefix up to what no key with that prefix reaches.
-- name: registers
SELECT key, value, version, expires FROM registers
WHERE space = ? AND key >= ? AND key < ? ORDER BY key LIMIT ?

-- The same after a key: the next page.
-- name: registers_after
SELECT key, value, version, expires FROM registers
WHERE space = ? AND key > ? AND key < ? ORDER BY key LIMIT ?

-- name: put_register
INSERT INTO registers (space, key, value, version, expires) VALUES (?, ?, ?, 1, ?)
ON CONFLICT DO UPDATE SET value = excluded.value, version = version + 1, expires = excluded.expires

-- name: doubt_unfinished
INSERT INTO registers (space, key, value, version, expires)
SELECT ?, run, ?, 1, NULL FROM runs WHERE status IN (SELECT value FROM json_each(?))
ON CONFLICT DO UPDATE SET value = excluded.value, version = version + 1, expires = NULL

-- name: delete_register
DELETE FROM registers WHERE space = ? AND key = ?

-- name: put_run
INSERT INTO runs (run, bundle, status, started, finished, cost_usd, "commit", dirty, digest, "trigger", actor, waiting)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET bundle = excluded.bundle, status = excluded.status, started = excluded.started,
finished = excluded.finished, cost_usd = excluded.cost_usd, "commit" = excluded."commit", dirty = excluded.dirty,
digest = excluded.digest, "trigger" = excluded."trigger", actor = excluded.actor, waiting = excluded.waiting

-- name: run
SELECT run, bundle, status, started, finished, cost_usd, "commit", dirty, digest, "trigger", actor, waiting
FROM runs WHERE run = ?

-- name: find_runs
SELECT run FROM runs WHERE run >= ? AND run < ? ORDER BY run DESC LIMIT ?

-- Runs, newest first, before a run. One statement for each filter, so that each has its index.
-- name: runs
SELECT run, bundle, status, started, finished, cost_usd, "commit", dirty, digest, "trigger", actor, waiting
FROM runs WHERE run < :before ORDER BY run DESC LIMIT :limit

-- name: runs_of_status
SELECT run, bundle, status, started, finished, cost_usd, "commit", dirty, digest, "trigger", actor, waiting
FROM runs WHERE status = :status AND run < :before ORDER BY run DESC LIMIT :limit

-- name: runs_of_bundle
SELECT run, bundle, status, started, finished, cost_usd, "commit", dirty, digest, "trigger", actor, waiting
FROM runs WHERE bundle = :bundle AND run < :before ORDER BY run DESC LIMIT :limit

-- name: runs_of_bundle_and_status
SELECT run, bundle, status, started, finished, cost_usd, "commit", dirty, digest, "trigger", actor, waiting
FROM runs WHERE bundle = :bundle AND status = :status AND run < :before ORDER BY run DESC LIMIT :limit

-- name: add_blob
INSERT INTO blobs (digest) VALUES (?)

-- name: find_blob
SELECT number FROM blobs WHERE digest = ?

-- name: use_blob
INSERT INTO blob_uses (blob, stream) VALUES (?, ?) ON CONFLICT DO NOTHING

-- name: is_blob_used
SELECT 1 FROM blobs WHERE digest = ? AND EXISTS (SELECT 1 FROM blob_uses WHERE blob = number)

-- name: blobs_after
SELECT number, digest FROM blobs WHERE number > ? ORDER BY number LIMIT ?

-- name: forget_events
DELETE FROM events WHERE id > ?1 << 32 AND id < (?1 + 1) << 32

-- name: forget_appends
DELETE FROM appends WHERE stream = ?

-- name: blobs_of_stream
SELECT blob FROM blob_uses WHERE stream = ?

-- name: forget_use
DELETE FROM blob_uses WHERE blob = ? AND stream = ?

-- name: forget_blob
DELETE FROM blobs WHERE number = ? AND NOT EXISTS (SELECT 1 FROM blob_uses WHERE blob = number)

-- name: forget_stream
DELETE FROM streams WHERE number = ?

-- name: forget_run
DELETE FROM runs WHERE run = ?

-- name: last_stream
SELECT coalesce(max(number), 0) FROM streams

-- name: forget_outcomes
DELETE FROM appends WHERE stream BETWEEN ? AND ? AND at < ?

-- name: count_runs
SELECT count(*) FROM runs

-- name: count_events
SELECT coalesce(sum(((SELECT max(id) FROM events WHERE id > number << 32 AND id < (number + 1) << 32) & 0xffffffff)), 0) FROM streams

-- name: journal_id
SELECT value FROM about WHERE name = 'id'

-- name: change_journal_id
UPDATE about SET value = ? WHERE name = 'id'

-- name: set_journal_id
INSERT INTO about (name, value) VALUES ('id', ?)

-- name: add_format
INSERT INTO formats (format, since) VALUES (?, ?)

-- name: count_tables
SELECT count(*) FROM sqlite_schema
