"""The Python API: all that a face needs of a project, its bundles and its runs."""
