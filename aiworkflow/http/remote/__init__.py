"""A client of a server somewhere else: the same interface as the one of a project on this machine."""
