"""Queues on NATS JetStream, a plugin of aiworkflow: `url: nats://host:4222`."""

from aiworkflow_nats.queue import NatsQueue

__all__ = ["NatsQueue"]
