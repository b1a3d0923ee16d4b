"""The command line: parses, calls the client, prints. Holds no logic of its own.

A command's module is imported only when that command runs, so that `--help` stays fast.
"""
