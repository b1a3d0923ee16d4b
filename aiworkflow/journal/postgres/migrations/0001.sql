-- Streams, registers, runs and blobs. All in the schema that `search_path` names. Texts sort by code
-- point, as they do in the other stores, whatever the database's own order.
CREATE TABLE about (name text PRIMARY KEY, value text NOT NULL)
--
CREATE TABLE formats (format integer PRIMARY KEY, since timestamptz NOT NULL DEFAULT now())
--
-- The tail is no column: it is the highest seq of the stream's events, so that an append leaves no
-- dead row behind.
CREATE TABLE streams (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run text COLLATE "C" NOT NULL UNIQUE,
  epoch integer NOT NULL,
  driver text COLLATE "C"
)
--
-- `append` is the id of the append whose first event this is, if the append said `after`: given again,
-- it is found by its place, and needs no row of its own.
CREATE TABLE events (
  stream bigint NOT NULL,
  seq integer NOT NULL,
  append text COLLATE "C",
  payload bytea NOT NULL,
  PRIMARY KEY (stream, seq)
)
--
-- Outcomes of all other appends, so that one given again is answered with what happened first.
CREATE TABLE appends (
  stream bigint NOT NULL,
  id text COLLATE "C" NOT NULL,
  first integer NOT NULL,
  last integer NOT NULL,
  at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (stream, id)
)
--
CREATE TABLE registers (
  space text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  value text NOT NULL,
  version integer NOT NULL,
  expires double precision,
  PRIMARY KEY (space, key)
)
--
CREATE TABLE runs (
  run text COLLATE "C" PRIMARY KEY,
  bundle text COLLATE "C" NOT NULL,
  status text COLLATE "C" NOT NULL,
  started double precision NOT NULL,
  finished double precision,
  cost_usd double precision NOT NULL,
  "commit" text,
  dirty boolean NOT NULL,
  digest text NOT NULL,
  "trigger" text NOT NULL,
  actor text NOT NULL,
  waiting text NOT NULL
)
--
CREATE INDEX runs_by_status ON runs (status, run)
--
CREATE INDEX runs_by_bundle ON runs (bundle, run)
--
CREATE INDEX runs_by_bundle_and_status ON runs (bundle, status, run)
--
-- Contents, by their digest. `put_at`: when somebody last stored it, for the sweep.
CREATE TABLE blobs (
  digest text COLLATE "C" PRIMARY KEY,
  content bytea NOT NULL,
  put_at timestamptz NOT NULL DEFAULT now()
)
--
-- What events refer to: a digest may be named here and be missing from `blobs`, which is damage.
CREATE TABLE blob_uses (
  digest text COLLATE "C" NOT NULL,
  stream bigint NOT NULL,
  PRIMARY KEY (digest, stream)
)
--
-- One row a process that drives runs; `beat` is set by it every few seconds.
CREATE TABLE drivers (
  id text COLLATE "C" PRIMARY KEY,
  about text NOT NULL,
  beat timestamptz NOT NULL DEFAULT now()
)
--
-- Appends, in order, in one transaction: each is checked whole before it writes anything, so that a
-- refusal leaves nothing behind and the others go on.
--
-- locks: numbers of advisory locks, sorted. Each stream and register has one of 512 by its name; all
--   that are touched are taken first, so that no two transactions wait for each other, and rows that
--   are not there yet can be waited for too.
-- heads: a JSON array, an object for each append (see commit.py). payloads: of all, in order.
--
-- What became of each append: (0, first, last) appended; (1, epoch, 0) fenced; (2, 0, tail) moved;
-- (3, number of the requirement, 0) closed; (4, number of the check, version) conflict;
-- (5, 0, 0) unknown run.
CREATE FUNCTION append_group(locks integer[], heads jsonb, payloads bytea[])
RETURNS TABLE (code integer, one bigint, two bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  lock_class CONSTANT integer := hashtext(current_schema());
  lock_number integer;
  a record;
  s record;
  found_row record;
  place integer := 0;
  start integer;
  is_new boolean;
  is_placed boolean;
  signals boolean := false;
BEGIN
  FOREACH lock_number IN ARRAY locks LOOP
    PERFORM pg_advisory_xact_lock(lock_class, lock_number);
  END LOOP;
  FOR a IN SELECT * FROM jsonb_to_recordset(heads) AS h(
    id text, run text, count integer, epoch integer, after integer, driver text, releases boolean,
    signals boolean, requires jsonb, checks jsonb, deletes jsonb, puts jsonb, "row" jsonb, blobs jsonb)
  LOOP
    start := place;
    place := place + a.count;
    is_placed := a.after IS NOT NULL AND a.count > 0;
    SELECT t.number, t.epoch, t.driver,
      coalesce((SELECT max(e.seq) FROM events e WHERE e.stream = t.number), 0) AS tail
      INTO s FROM streams t WHERE t.run = a.run;
    is_new := NOT FOUND;
    IF is_new THEN
      IF a.epoch IS DISTINCT FROM 1 OR a.after IS DISTINCT FROM 0 THEN
        code := 5; one := 0; two := 0; RETURN NEXT; CONTINUE;
      END IF;
    ELSE
      IF a.after IS DISTINCT FROM s.tail OR a.count = 0 THEN  -- else it cannot have been made before
        IF is_placed THEN
          SELECT a.after + 1 AS first, a.after + a.count AS last INTO found_row FROM events e
            WHERE e.stream = s.number AND e.seq = a.after + 1 AND e.append = a.id;
        ELSE
          SELECT p.first, p.last INTO found_row FROM appends p WHERE p.stream = s.number AND p.id = a.id;
        END IF;
        IF FOUND THEN
          code := 0; one := found_row.first; two := found_row.last; RETURN NEXT; CONTINUE;
        END IF;
      END IF;
      IF a.epoch IS NOT NULL AND (a.epoch <> s.epoch OR s.driver IS NULL
          OR a.driver <> s.driver OR a.after > s.tail) THEN
        code := 1; one := s.epoch; two := 0; RETURN NEXT; CONTINUE;
      END IF;
      IF a.after <> s.tail THEN
        code := 2; one := 0; two := s.tail; RETURN NEXT; CONTINUE;
      END IF;
    END IF;
    IF a.requires IS NOT NULL THEN
      SELECT w.n INTO found_row FROM jsonb_array_elements(a.requires) WITH ORDINALITY AS w(it, n)
        WHERE NOT EXISTS (SELECT FROM registers r WHERE r.space = w.it->>0 AND r.key = w.it->>1
          AND (r.expires IS NULL OR r.expires > (w.it->>2)::double precision))
        ORDER BY w.n LIMIT 1;
      IF FOUND THEN
        code := 3; one := found_row.n - 1; two := 0; RETURN NEXT; CONTINUE;
      END IF;
    END IF;
    IF a.checks IS NOT NULL THEN
      SELECT w.n, coalesce(r.version, 0) + (w.it->>2)::integer AS version INTO found_row
        FROM jsonb_array_elements(a.checks) WITH ORDINALITY AS w(it, n)
        LEFT JOIN registers r ON r.space = w.it->>0 AND r.key = w.it->>1
        WHERE coalesce(r.version, 0) + (w.it->>2)::integer <> (w.it->>3)::integer
        ORDER BY w.n LIMIT 1;
      IF FOUND THEN
        code := 4; one := found_row.n - 1; two := found_row.version; RETURN NEXT; CONTINUE;
      END IF;
    END IF;

    IF is_new THEN
      INSERT INTO streams (run, epoch, driver)
        VALUES (a.run, 1, CASE WHEN a.releases THEN NULL ELSE a.driver END)
        RETURNING number, 0 AS tail INTO s;
    ELSIF a.releases THEN
      UPDATE streams SET driver = NULL WHERE number = s.number;
    END IF;
    IF a.count = 1 THEN
      INSERT INTO events (stream, seq, append, payload)
        VALUES (s.number, s.tail + 1, CASE WHEN is_placed THEN a.id END, payloads[start + 1]);
    ELSIF a.count > 1 THEN
      INSERT INTO events (stream, seq, append, payload)
        SELECT s.number, s.tail + i, CASE WHEN i = 1 AND is_placed THEN a.id END, payloads[start + i]
        FROM generate_series(1, a.count) AS i;
    END IF;
    IF NOT is_placed THEN
      INSERT INTO appends (stream, id, first, last)
        VALUES (s.number, a.id, s.tail + 1, s.tail + a.count);
    END IF;
    IF a.deletes IS NOT NULL THEN
      DELETE FROM registers r USING jsonb_array_elements(a.deletes) AS w(it)
        WHERE r.space = w.it->>0 AND r.key = w.it->>1;
    END IF;
    IF a.puts IS NOT NULL THEN
      INSERT INTO registers AS r (space, key, value, expires, version)
        SELECT w.it->>0, w.it->>1, w.it->>2, (w.it->>3)::double precision, (w.it->>4)::integer
        FROM jsonb_array_elements(a.puts) AS w(it)
        ON CONFLICT (space, key) DO UPDATE SET value = excluded.value, expires = excluded.expires,
          version = r.version + excluded.version;
    END IF;
    IF a."row" IS NOT NULL THEN
      INSERT INTO runs SELECT * FROM jsonb_populate_record(NULL::runs, a."row")
        ON CONFLICT (run) DO UPDATE SET bundle = excluded.bundle, status = excluded.status,
          started = excluded.started, finished = excluded.finished, cost_usd = excluded.cost_usd,
          "commit" = excluded."commit", dirty = excluded.dirty, digest = excluded.digest,
          "trigger" = excluded."trigger", actor = excluded.actor, waiting = excluded.waiting;
    END IF;
    IF a.blobs IS NOT NULL THEN
      INSERT INTO blob_uses (digest, stream)
        SELECT DISTINCT b, s.number FROM jsonb_array_elements_text(a.blobs) AS b
        ON CONFLICT DO NOTHING;
    END IF;
    signals := signals OR a.signals;
    code := 0; one := s.tail + 1; two := s.tail + a.count; RETURN NEXT;
  END LOOP;
  IF signals THEN
    PERFORM pg_notify('aiworkflow ' || current_schema(), '');
  END IF;
END
$$
--
-- Take a run: its epoch + 1. (0, epoch, tail, …) claimed; (1, …, who holds it); (2, …) unknown run.
CREATE FUNCTION claim_run(lock_number integer, wanted text, claimant text, instead_of text[])
RETURNS TABLE (code integer, epoch integer, tail integer, holder text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  s record;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext(current_schema()), lock_number);
  SELECT t.number, t.epoch, t.driver,
    coalesce((SELECT max(e.seq) FROM events e WHERE e.stream = t.number), 0) AS tail
    INTO s FROM streams t WHERE t.run = wanted;
  IF NOT FOUND THEN
    RETURN QUERY SELECT 2, 0, 0, ''::text;
  ELSIF s.driver IS NOT NULL AND s.driver <> ALL (instead_of) THEN
    RETURN QUERY SELECT 1, s.epoch, s.tail, s.driver;
  ELSE
    UPDATE streams SET epoch = streams.epoch + 1, driver = claimant WHERE number = s.number;
    RETURN QUERY SELECT 0, s.epoch + 1, s.tail, claimant;
  END IF;
END
$$
