-- Events by one number: an event beyond a kilobyte no longer takes a page of its own.
CREATE TABLE events_by_id (
  id INTEGER PRIMARY KEY,
  append TEXT,
  payload BLOB NOT NULL,
  crc INTEGER,
  stream INTEGER AS (id >> 32) VIRTUAL,
  seq INTEGER AS (id & 0xffffffff) VIRTUAL
);
INSERT INTO events_by_id (id, append, payload, crc)
SELECT (stream << 32) + seq, append, payload, crc FROM events ORDER BY stream, seq;
DROP TABLE events;
ALTER TABLE events_by_id RENAME TO events;
