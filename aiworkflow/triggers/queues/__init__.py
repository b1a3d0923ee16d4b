"""Queues: messages that start runs, each of them one, however often it is delivered.

The contract, its implementations (in the journal, RabbitMQ, Redis, plugins), and the source of `serve`.
"""
