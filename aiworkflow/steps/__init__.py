"""The kinds of step: one module each, which does one attempt and says how it ended."""
