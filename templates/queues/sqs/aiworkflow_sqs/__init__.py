"""Queues on Amazon SQS, a plugin of aiworkflow: `url: sqs://eu-central-1/`."""

from aiworkflow_sqs.queue import SqsQueue

__all__ = ["SqsQueue"]
