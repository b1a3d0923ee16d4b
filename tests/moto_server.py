"""A server that has SQS's semantics, over loopback: moto's. Run as a script, with its options.

It keeps all in memory. It answers several requests at once without a lock, and then loses messages or
gives one twice, which SQS does not: here they are done one after the other for each queue. And for each
message that it gives, it counts all others, which is left out.
"""

from __future__ import annotations

import functools
import sys
import time

from moto.server import main
from moto.sqs import models
from moto.sqs.models import SQSBackend


def one_by_one(name: str) -> None:
    do = getattr(SQSBackend, name)

    @functools.wraps(do)
    def alone(self: SQSBackend, queue_name: str, *words: object, **more: object) -> object:
        with self.get_queue(queue_name)._messages_lock:  # who waits for messages lets go of it
            return do(self, queue_name, *words, **more)

    setattr(SQSBackend, name, alone)


def is_kept(self: SQSBackend, queue_name: str, message: models.Message) -> bool:
    return (
        message.sent_timestamp / 1000 + self.get_queue(queue_name).message_retention_period
        > time.time()
    )


if __name__ == "__main__":
    for name in ("send_message", "receive_message", "delete_message", "change_message_visibility",
                 "get_queue_attributes", "purge_queue"):  # fmt: skip
        one_by_one(name)
    SQSBackend.is_message_valid_based_on_retention_period = is_kept
    models.unix_time_millis = lambda: time.time() * 1000
    main(["-H", "127.0.0.1", *sys.argv[1:]])
