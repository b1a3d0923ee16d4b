-- The blobs of one stream are asked for when it is copied or removed.
CREATE INDEX blob_uses_by_stream ON blob_uses (stream, digest)
