-- A journal, as a new one is made. What changes here needs a file in migrations/ that brings older
-- journals to the same; `PRAGMA user_version` is the number of the last one.

-- What the journal says of itself: `id`.
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- Which formats this file has had, and since when (seconds since the epoch).
CREATE TABLE formats (format INTEGER PRIMARY KEY, since REAL NOT NULL);

-- Streams. `number` stands for the run in the tables that have many rows. The tail is no column: it
-- is the highest seq of the stream's events, so that an append writes one page less.
CREATE TABLE streams (
  number INTEGER PRIMARY KEY,
  run TEXT NOT NULL UNIQUE,
  epoch INTEGER NOT NULL,
  driver TEXT
);

-- Events. `id` is the number of the stream times 2^32, plus the seq. As the key of the table itself it
-- lets a row fill a page; with a key of two columns all beyond a kilobyte would go to pages of its own.
-- The stream and the seq are there for who looks, and cost nothing; statements say `id`.
-- `append` is the id of the append whose first event this is, if the append said `after`: given again,
-- it is found by its place, and needs no row of its own (which would be one page more a commit).
-- `crc` is the CRC-32 of the payload, begun with the seq: SQLite has checksums in its WAL only.
-- Events of the first format have none.
CREATE TABLE events (
  id INTEGER PRIMARY KEY,
  append TEXT,
  payload BLOB NOT NULL,
  crc INTEGER,
  stream INTEGER AS (id >> 32) VIRTUAL,
  seq INTEGER AS (id & 0xffffffff) VIRTUAL
);

-- Outcomes of all other appends, so that one given again is answered with what happened first.
-- By stream, so that new rows go where the last ones went, although ids are random.
CREATE TABLE appends (
  stream INTEGER NOT NULL,
  id TEXT NOT NULL,
  first INTEGER NOT NULL,
  last INTEGER NOT NULL,
  at INTEGER NOT NULL,
  PRIMARY KEY (stream, id)
) WITHOUT ROWID;

CREATE TABLE registers (
  space TEXT NOT NULL,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  version INTEGER NOT NULL,
  expires REAL,
  PRIMARY KEY (space, key)
) WITHOUT ROWID;

CREATE TABLE runs (
  run TEXT PRIMARY KEY,
  bundle TEXT NOT NULL,
  status TEXT NOT NULL,
  started REAL NOT NULL,
  finished REAL,
  cost_usd REAL NOT NULL,
  "commit" TEXT,
  dirty INTEGER NOT NULL,
  digest TEXT NOT NULL,
  "trigger" TEXT NOT NULL,
  actor TEXT NOT NULL,
  waiting TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX runs_by_status ON runs (status, run);
CREATE INDEX runs_by_bundle ON runs (bundle, run);
CREATE INDEX runs_by_bundle_and_status ON runs (bundle, status, run);

-- Which blobs are in use. A bundle's files are in use by each of its runs: hence a number for each.
CREATE TABLE blobs (number INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE);
CREATE TABLE blob_uses (
  blob INTEGER NOT NULL,
  stream INTEGER NOT NULL,
  PRIMARY KEY (blob, stream)
) WITHOUT ROWID;
CREATE INDEX blob_uses_by_stream ON blob_uses (stream, blob);
