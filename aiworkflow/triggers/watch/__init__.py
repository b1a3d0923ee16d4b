"""Watched files: which they are, what has changed of them, and one run for each batch of changes."""
