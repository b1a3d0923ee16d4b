"""The rows of the table of routes for what starts runs, and for the workers that drive them."""

from __future__ import annotations

from typing import Final

from aiworkflow.http import triggers
from aiworkflow.http.route import Param, Route, Schema
from aiworkflow.http.schemas import (
    ANY_MAP,
    ANYTHING,
    FLAG,
    MAYBE_NUMBER,
    TEXT,
    TEXTS,
    WHOLE,
    gives,
    listed,
    ref,
    takes,
)

_MAYBE_WHOLE: Final[Schema] = {"type": ["integer", "null"]}
_PAUSED = gives("schedule paused", schedule=TEXT, paused=FLAG)

TRIGGERS: Final = (
    Route("GET", "/schedules", "read", triggers.schedules, "List the schedules.",
          gives("schedules", schedules=listed(
              gives("schedule bundle cron timezone paused next", schedule=TEXT, bundle=TEXT,
                    cron=TEXT, timezone=TEXT, paused=FLAG, next=listed(ANY_MAP)))),
          query=(Param("count", "How many of the next times of each.", "integer", 1, 1, 100),)),
    Route("GET", "/schedules/next", "read", triggers.next_times,
          "Give the next times of all schedules together, or of one.",
          gives("times", times=listed(gives("schedule time", schedule=TEXT, time=TEXT))),
          query=(Param("schedule", "Only of this one."),
                 Param("count", "How many.", "integer", 10, 1, 1000))),
    Route("POST", "/schedules/pause", "run", triggers.pause,
          "Stop a schedule from starting runs, until it is resumed.", _PAUSED,
          body=takes("schedule", schedule=TEXT)),
    Route("POST", "/schedules/resume", "run", triggers.resume,
          "Let a schedule start runs again.", _PAUSED, body=takes("schedule", schedule=TEXT)),
    Route("POST", "/schedules/run", "run", triggers.run_now, "Start a schedule's run at once.",
          ref("Started"), body=takes("schedule", schedule=TEXT), status=202, errors=(409, 422)),
    Route("GET", "/webhooks", "read", triggers.webhooks, "List the webhooks, and what came to them.",
          gives("webhooks refused problems", webhooks=listed(ANY_MAP), refused=listed(ANY_MAP),
                problems=ANY_MAP),
          query=(Param("last", "How many of the last deliveries.", "integer", 5, 0, 200),)),
    Route("GET", "/watches", "read", triggers.watches, "List the watches of files.",
          gives("watches", watches=listed(ANY_MAP))),
    Route("GET", "/queues", "read", triggers.queues, "Say how the queues stand.",
          gives("queues", queues=listed(
              gives("queue at ready dead bundles", queue=TEXT, at=TEXT, ready=WHOLE,
                    delayed=_MAYBE_WHOLE, taken=_MAYBE_WHOLE, dead=WHOLE,
                    oldest_seconds=MAYBE_NUMBER, bundles=listed(TEXT)))),
          query=(Param("queue", "Only this one."),)),
    Route("POST", "/queues/publish", "run", triggers.publish, "Publish a message.",
          gives("queue at id", queue=TEXT, at=TEXT, id=TEXT),
          doc="The Idempotency-Key is the id of the message: one that is published twice is one.",
          body=takes("queue data", queue=TEXT, data=ANYTHING, headers=TEXTS,
                     priority={"type": "integer", "minimum": 0, "maximum": 9},
                     delay_seconds={"type": "number", "minimum": 0, "maximum": 31_536_000}),
          starts=True),
    Route("GET", "/queues/dead", "read", triggers.dead, "List messages that were set aside.",
          gives("queue dead", queue=TEXT, dead=listed(ANY_MAP)),
          query=(Param("queue", "Of this queue."),
                 Param("limit", "How many.", "integer", 100, 1, 1000))),
    Route("POST", "/queues/retry", "run", triggers.retry, "Put messages back that were set aside.",
          gives("queue retried", queue=TEXT, retried=WHOLE),
          doc="Those with these ids; all without `ids`.",
          body=takes("queue", queue=TEXT, ids=listed(TEXT))),
    Route("GET", "/workers", "read", triggers.workers, "List the processes that drive runs.",
          gives("workers", workers=listed(ANY_MAP))),
    Route("POST", "/workers/drain", "admin", triggers.drain,
          "Have a worker take nothing more, let running steps finish, and end.",
          gives("worker state", worker=TEXT, state=TEXT), body=takes("worker", worker=TEXT)),
)  # fmt: skip
