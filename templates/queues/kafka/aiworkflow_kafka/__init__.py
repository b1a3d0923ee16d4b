"""Queues on Apache Kafka, a plugin of aiworkflow: `url: kafka://host:9092`."""

from aiworkflow_kafka.queue import KafkaQueue

__all__ = ["KafkaQueue"]
