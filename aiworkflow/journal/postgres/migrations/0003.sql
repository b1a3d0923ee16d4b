-- For how long a driver's sign of life counts, and whether it can give any more: `alive`, `closed` by
-- itself, `ended` by another. A driver of before has no row here, so that nothing is known of it.
ALTER TABLE drivers ADD COLUMN lease_s double precision NOT NULL DEFAULT 15,
  ADD COLUMN state text COLLATE "C" NOT NULL DEFAULT 'alive'
--
-- Runs that somebody holds, to find those of the dead among many that are over.
CREATE INDEX streams_by_driver ON streams (driver) WHERE driver IS NOT NULL
