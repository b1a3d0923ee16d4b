"""The way to the brokers: what an address says to the client, and its errors in words that help."""

from __future__ import annotations

import logging
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlsplit

from confluent_kafka import KafkaError, KafkaException

from aiworkflow.errors import UsageError
from aiworkflow.triggers.queues.address import login_of
from aiworkflow.triggers.queues.contract import QueueUnavailable
from aiworkflow_kafka import wire

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Producer

    from aiworkflow.clock import Clock
    from aiworkflow.triggers.queues.address import Address

_log = logging.getLogger(__name__)

ANSWER_S: Final = 5.0

_PORT: Final = 9092
_SASL: Final = ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN")
_NOT_MADE: Final = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.LEADER_NOT_AVAILABLE)
REFUSED: Final = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
)


class Line:
    """What is known of the brokers.

    Attributes:
        settings: for the clients of librdkafka.

    Raises:
        UsageError: the address is none.
    """

    def __init__(self, address: Address, clock: Clock) -> None:
        self._shown = address.shown
        self._clock = clock
        self._said = ""
        self._refuses_login = False
        self.settings: dict[str, object] = {
            **_settings(address),
            "client.id": "aiworkflow",
            "allow.auto.create.topics": True,
            "log_level": 0,  # what matters comes as an error
            "logger": _log,
            "error_cb": self.heard,
            "socket.timeout.ms": 6000,
            "socket.connection.setup.timeout.ms": 5000,
            "reconnect.backoff.max.ms": 1000,
        }

    def heard(self, error: KafkaError) -> None:
        """Keep what a client says of its connections: what it asks for just ends too late."""
        if error.code() == KafkaError._AUTHENTICATION:  # noqa: SLF001  their name for it
            self._refuses_login = True
        elif error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001
            self._said = error.str()

    def forget(self) -> None:
        """What was said before does not count any more."""
        self._said, self._refuses_login = "", False

    def reach(self, client: Consumer | Producer, topics: list[str]) -> dict[str, int]:
        """Wait until topics are there; the server makes them when they are asked for.

        Returns:
            How many partitions each has.

        Raises:
            QueueUnavailable.
        """
        until = self._clock.monotonic() + ANSWER_S
        found: dict[str, int] = {}
        self.forget()
        for topic in topics:
            while topic not in found:
                try:
                    about = client.list_topics(topic, timeout=ANSWER_S).topics[topic]
                except KafkaException as error:
                    with suppress(KafkaException):
                        client.poll(0)  # what was heard meanwhile
                    raise self.unavailable(error.args[0]) from error
                if about.error is None and about.partitions:
                    found[topic] = len(about.partitions)
                elif about.error is not None and about.error.code() not in _NOT_MADE:
                    raise self.unavailable(about.error, topic)
                elif self._clock.monotonic() > until:
                    raise self._missing(topic)
                else:
                    client.poll(0.05)
        return found

    def unavailable(self, error: KafkaError, topic: str = "") -> QueueUnavailable:
        """The error for whoever uses the queue."""
        if self._refuses_login:
            return self._refuses(
                "the login", "set the secret that `login` names to `user:password`"
            )
        if error.code() in REFUSED:
            return self._refuses(
                topic or "this user", "let the user read, write and describe its topics and groups"
            )
        if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return self._missing(topic)
        return QueueUnavailable(
            f"the queue at {self._shown} does not answer ({self._said or error.str()})",
            hint="start the server, or correct the `url` of the queue",
        )

    def _refuses(self, what: str, hint: str) -> QueueUnavailable:
        return QueueUnavailable(f"the queue at {self._shown} refuses {what}", hint=hint)

    def _missing(self, topic: str) -> QueueUnavailable:
        return QueueUnavailable(
            f"the queue at {self._shown} has no topic {topic}",
            hint="create it, or let the server do so: auto.create.topics.enable=true",
        )


def _settings(address: Address) -> dict[str, object]:
    parts = urlsplit(address.url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    also = options.pop("also", "")
    sasl = options.pop("sasl", "")
    if parts.hostname is None or parts.path not in {"", "/"} or options:
        raise UsageError(
            f"{address.shown} is no address of a Kafka server",
            hint="write it like kafka://host:9092?also=other:9092&sasl=PLAIN",
        )
    if sasl and sasl not in _SASL:
        raise UsageError(
            f"`{sasl}` is no way to log in to {address.shown}", hint=f"known are {', '.join(_SASL)}"
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    servers = [f"{host}:{parts.port or _PORT}", *(one for one in also.split(",") if one)]
    found: dict[str, object] = {"bootstrap.servers": ",".join(servers)}
    wants_tls = address.scheme.endswith("+tls")
    login = login_of(address)
    kind = "SSL" if wants_tls else "PLAINTEXT"
    found["security.protocol"] = kind if login is None else f"SASL_{kind}"
    if wants_tls:
        trusted = ssl.get_default_verify_paths()  # honours SSL_CERT_FILE
        found["ssl.ca.location"] = trusted.cafile or trusted.capath or "probe"
    if login is not None:
        found |= {"sasl.mechanism": sasl or _SASL[0]}
        found |= {"sasl.username": login[0], "sasl.password": login[1]}
    return found


def level_settings(lease_s: float) -> dict[str, object]:
    """What those who take from a group tell their client."""
    return {
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
        "partition.assignment.strategy": "range",  # so each has all levels of its share
        "session.timeout.ms": int(max(6.0, lease_s) * 1000),  # brokers allow no less
        "heartbeat.interval.ms": 1000,
        "queued.min.messages": 500,
        "queued.max.messages.kbytes": 8192,
        "fetch.message.max.bytes": wire.LARGEST,
        "isolation.level": "read_committed",
    }
