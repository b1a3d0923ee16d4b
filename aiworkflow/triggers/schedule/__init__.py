"""Schedules: when they come, and starting runs at these times, missed ones as the author said."""
