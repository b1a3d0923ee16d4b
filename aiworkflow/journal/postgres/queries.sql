-- Every statement of the PostgreSQL journal but those of its functions (migrations/). `-- name:` begins
-- one; a blank line ends it.

-- name: about
SELECT (SELECT max(format) FROM formats), (SELECT value FROM about WHERE name = 'id')

-- name: lock_migration
SELECT pg_advisory_xact_lock(hashtext('aiworkflow migration'), hashtext($1::text))

-- name: server
SELECT current_setting('server_version_num')::integer, current_setting('server_encoding'),
to_regnamespace($1::text) IS NOT NULL, to_regclass($1::text || '.formats') IS NOT NULL

-- name: may_make
SELECT CASE WHEN to_regnamespace($1::text) IS NULL
THEN has_database_privilege(current_database(), 'CREATE')
ELSE has_schema_privilege(to_regnamespace($1::text), 'USAGE')
AND has_schema_privilege(to_regnamespace($1::text), 'CREATE') END

-- name: add_format
INSERT INTO formats (format) VALUES ($1::integer)

-- name: set_journal_id
INSERT INTO about (name, value) VALUES ('id', $1::text)

-- name: append
SELECT code, one, two FROM append_group($1::integer[], $2::jsonb, $3::bytea[])

-- name: claim
SELECT code, epoch, tail, holder FROM claim_run($1::integer, $2::text, $3::text, $4::text[])

-- name: stream
SELECT epoch, driver, coalesce((SELECT max(seq) FROM events WHERE stream = number), 0)
FROM streams WHERE run = $1::text

-- name: events
SELECT seq, payload FROM events
WHERE stream = (SELECT number FROM streams WHERE run = $1::text) AND seq > $2::integer ORDER BY seq LIMIT $3::bigint

-- name: event
SELECT payload FROM events
WHERE stream = (SELECT number FROM streams WHERE run = $1::text) AND seq = $2::integer

-- name: streams
SELECT run, epoch, coalesce((SELECT max(seq) FROM events WHERE stream = number), 0), driver
FROM streams WHERE run > $1::text ORDER BY run LIMIT $2::bigint

-- name: uses
SELECT digest FROM blob_uses WHERE stream = (SELECT number FROM streams WHERE run = $1::text)

-- name: all_registers
SELECT space, key, value, version, expires FROM registers
WHERE (space, key) > ($1::text, $2::text) ORDER BY space, key LIMIT $3::bigint

-- name: register
SELECT value, version, expires FROM registers WHERE space = $1::text AND key = $2::text

-- Keys from a prefix up to what no key with that prefix reaches.
-- name: registers
SELECT key, value, version, expires FROM registers
WHERE space = $1::text AND key >= $2::text AND key < $3::text ORDER BY key LIMIT $4::bigint

-- The same after a key: the next page.
-- name: registers_after
SELECT key, value, version, expires FROM registers
WHERE space = $1::text AND key > $2::text AND key < $3::text ORDER BY key LIMIT $4::bigint

-- name: run
SELECT run, bundle, status, started, finished, cost_usd, "commit", dirty, digest, "trigger", actor, waiting
FROM runs WHERE run = $1::text

-- name: find_runs
SELECT run FROM runs WHERE run >= $1::text AND run < $2::text ORDER BY run DESC LIMIT $3::bigint

-- Runs, newest first, before a run. One statement for each filter, so that each has its index.
-- name: runs
SELECT run, bundle, status, started, finished, cost_usd, "commit", dirty, digest, "trigger", actor, waiting
FROM runs WHERE run < $1::text ORDER BY run DESC LIMIT $2::bigint

-- name: runs_of_status
SELECT run, bundle, status, started, finished, cost_usd, "commit", dirty, digest, "trigger", actor, waiting
FROM runs WHERE run < $1::text AND status = $3::text ORDER BY status DESC, run DESC LIMIT $2::bigint

-- name: runs_of_bundle
SELECT run, bundle, status, started, finished, cost_usd, "commit", dirty, digest, "trigger", actor, waiting
FROM runs WHERE run < $1::text AND bundle = $3::text ORDER BY bundle DESC, run DESC LIMIT $2::bigint

-- name: runs_of_bundle_and_status
SELECT run, bundle, status, started, finished, cost_usd, "commit", dirty, digest, "trigger", actor, waiting
FROM runs WHERE run < $1::text AND bundle = $3::text AND status = $4::text
ORDER BY bundle DESC, status DESC, run DESC LIMIT $2::bigint

-- name: put_blob
INSERT INTO blobs (digest, content) VALUES ($1::text, $2::bytea) ON CONFLICT (digest) DO UPDATE SET put_at = now()

-- name: touch_blob
UPDATE blobs SET put_at = now() WHERE digest = $1::text RETURNING 1

-- name: blob
SELECT content FROM blobs WHERE digest = $1::text

-- name: has_blob
SELECT 1 FROM blobs WHERE digest = $1::text

-- name: blobs_size
SELECT coalesce(sum(octet_length(content)), 0)::bigint FROM blobs

-- name: sweep_blobs
DELETE FROM blobs b WHERE put_at < now() - make_interval(secs => $1::double precision)
AND NOT EXISTS (SELECT FROM blob_uses u WHERE u.digest = b.digest) RETURNING 1

-- name: missing_blobs
SELECT DISTINCT digest FROM blob_uses u WHERE NOT EXISTS (SELECT FROM blobs b WHERE b.digest = u.digest)
ORDER BY digest LIMIT 10

-- name: forget_outcomes
DELETE FROM appends WHERE at < now() - make_interval(secs => $1::double precision)

-- name: count_runs
SELECT count(*) FROM runs

-- name: count_events
SELECT coalesce(sum((SELECT max(seq) FROM events WHERE stream = number)), 0)::bigint FROM streams

-- name: size
SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'

-- name: journal_id
SELECT value FROM about WHERE name = 'id'

-- name: end_backend
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
WHERE application_name = $1::text AND pid <> pg_backend_pid()

-- All that append wait meanwhile: rare and short, and no locks of single names are needed.
-- name: lock_all
LOCK TABLE streams, registers IN SHARE ROW EXCLUSIVE MODE

-- name: transaction
SELECT pg_current_xact_id()::text

-- A server that has taken over from another may not have come to that number yet.
-- name: is_committed
SELECT CASE WHEN $1::text::xid8 < pg_snapshot_xmax(pg_current_snapshot())
  THEN pg_xact_status($1::text::xid8) = 'committed' ELSE FALSE END

-- name: put_register
INSERT INTO registers AS r (space, key, value, version, expires)
VALUES ($1::text, $2::text, $3::text, 1, $4::double precision)
ON CONFLICT (space, key) DO UPDATE SET value = excluded.value, expires = excluded.expires, version = r.version + 1

-- name: delete_register
DELETE FROM registers WHERE space = $1::text AND key = $2::text

-- name: forget_run
WITH gone AS (DELETE FROM streams WHERE run = $1::text RETURNING number),
e AS (DELETE FROM events WHERE stream IN (SELECT number FROM gone)),
a AS (DELETE FROM appends WHERE stream IN (SELECT number FROM gone)),
b AS (DELETE FROM blob_uses WHERE stream IN (SELECT number FROM gone))
DELETE FROM runs WHERE run = $1::text

-- name: change_journal_id
UPDATE about SET value = $1::text WHERE name = 'id'

-- name: begin_driver
INSERT INTO drivers (id, about, lease_s) VALUES ($1::text, $2::text, $3::double precision)
ON CONFLICT (id) DO UPDATE SET beat = now(), about = excluded.about, lease_s = excluded.lease_s

-- name: beat
UPDATE drivers SET beat = now(), about = $2::text WHERE id = $1::text AND state = 'alive' RETURNING 1

-- name: close_driver
UPDATE drivers SET state = 'closed' WHERE id = $1::text

-- name: end_driver
UPDATE drivers SET state = 'ended' WHERE id = $1::text AND state = 'alive'
AND beat <= now() - make_interval(secs => $2::double precision)

-- name: driver
SELECT id, about, extract(epoch FROM now() - beat)::double precision, lease_s, state
FROM drivers WHERE id = $1::text

-- name: drivers
SELECT id, about, extract(epoch FROM now() - beat)::double precision, lease_s, state
FROM drivers ORDER BY id

-- name: forget_drivers
DELETE FROM drivers d WHERE beat < now() - make_interval(secs => $1::double precision)
AND NOT EXISTS (SELECT FROM streams s WHERE s.driver = d.id)
