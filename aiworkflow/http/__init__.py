"""The face over HTTP: an API under `/api/v1`, for everything that `client` can do."""
