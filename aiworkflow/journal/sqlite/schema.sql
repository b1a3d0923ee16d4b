-- A journal. `streams.number` stands for a run's id in the rows there are many of.
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE streams (
  number INTEGER PRIMARY KEY,
  run TEXT NOT NULL UNIQUE,
  epoch INTEGER NOT NULL,
  tail INTEGER NOT NULL,
  driver TEXT
);
CREATE TABLE events (
  stream INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  payload BLOB NOT NULL,
  PRIMARY KEY (stream, seq)
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
CREATE TABLE blob_refs (stream INTEGER NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (stream, digest))
  WITHOUT ROWID;
-- Outcomes of appends, so that one whose commit had an unknown outcome can be looked up.
CREATE TABLE appends (id TEXT PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL, at REAL NOT NULL)
  WITHOUT ROWID;
