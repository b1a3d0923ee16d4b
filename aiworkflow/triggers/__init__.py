"""What starts runs by itself: schedules, webhooks, watched files, queues.

A source sees that something happened, and hands it on as an `Occurrence`; the starter makes one durable
run of it, however often it is delivered. No source writes events of its own.
"""
