"""Drives runs: evaluates, performs, and appends what happened; decides nothing.

`local` is the embedded runtime: one process, one journal, any number of runs.
"""
