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
    MAYBE_TEXT,
    NUMBER,
    TEXT,
    TEXTS,
    WHOLE,
    gives,
    listed,
    ref,
    takes,
)

_MAYBE_WHOLE: Final[Schema] = {"type": ["integer", "null"]}
_PROBLEMS: Final = "`problems` says which bundles are left out, and why."
_SCHEDULE: Final = gives(
    "schedule bundle cron timezone paused next last run status",
    schedule=TEXT,
    bundle=TEXT,
    cron=TEXT,
    timezone=TEXT,
    paused=FLAG,
    next=listed(ANY_MAP),
    last=MAYBE_TEXT,
    run=MAYBE_TEXT,
    status=MAYBE_TEXT,
)
_WHICH: Final = takes("queue", queue=TEXT, ids=listed(TEXT), all=FLAG)
_WORKER: Final = gives(
    "worker kind host state", worker=TEXT, kind=TEXT, host=TEXT, state=TEXT, version=TEXT
)
_PAUSED: Final = gives("schedule paused", schedule=TEXT, paused=FLAG)

TRIGGERS: Final = (
    Route("GET", "/schedules", "read", triggers.schedules, "List the schedules.",
          gives("schedules problems", schedules=listed(_SCHEDULE), problems=TEXTS),
          doc=_PROBLEMS,
          query=(Param("count", "How many of the next times of each.", "integer", 1, 1, 100),)),
    Route("GET", "/schedules/info", "read", triggers.schedule, "Show a schedule.", _SCHEDULE,
          query=(Param("schedule", "Its name, or its bundle's where that has one only.",
                       is_needed=True),
                 Param("count", "How many of its next times.", "integer", 5, 1, 100)),
          usage=404),
    Route("GET", "/schedules/next", "read", triggers.next_times,
          "Give the next times of all schedules together, or of one.",
          gives("times problems",
                times=listed(gives("schedule time", schedule=TEXT, time=TEXT)), problems=TEXTS),
          doc=_PROBLEMS,
          query=(Param("schedule", "Only of this one."),
                 Param("count", "How many.", "integer", 10, 1, 1000),
                 Param("after", "After this moment instead of now: 2027-01-31T09:00Z.")),
          usage=404),
    Route("POST", "/schedules/pause", "run", triggers.pause,
          "Stop a schedule from starting runs, until it is resumed.", _PAUSED,
          body=takes("schedule", schedule=TEXT), usage=404),
    Route("POST", "/schedules/resume", "run", triggers.resume,
          "Let a schedule start runs again.", _PAUSED, body=takes("schedule", schedule=TEXT),
          usage=404),
    Route("POST", "/schedules/run", "run", triggers.run_now, "Start a schedule's run at once.",
          ref("Started"), doc="Its own times come as they would.",
          body=takes("schedule", schedule=TEXT), status=202, usage=404, starts=True,
          errors=(409, 422)),
    Route("GET", "/webhooks", "read", triggers.webhooks, "List the webhooks, and what came to them.",
          gives("webhooks refused problems", webhooks=listed(ANY_MAP), refused=listed(ANY_MAP),
                problems=ANY_MAP),
          query=(Param("last", "How many of the last deliveries.", "integer", 5, 0, 200),)),
    Route("POST", "/webhooks/test", "run", triggers.try_webhook,
          "Send an event to this server, signed as its sender would, and give the answer.",
          ANY_MAP,
          doc="`webhook` is a bundle with one, or its name; `payload` the body, instead of a sample. "
          "With `dry_run` nothing is sent: what would match, and the inputs.",
          body=takes("webhook", webhook=TEXT, event=TEXT, payload=TEXT, dry_run=FLAG), usage=404),
    Route("POST", "/webhooks/replay", "run", triggers.replay_webhook,
          "Send a delivery to this server again, as an event of its own.",
          gives("url status answer delivery", url=TEXT, status=WHOLE, answer=ANYTHING,
                delivery=TEXT),
          doc="With `same_id` it is sent with the id it had: it is known, and starts nothing.",
          body=takes("delivery", delivery=TEXT, same_id=FLAG), usage=404),
    Route("POST", "/watches/test", "read", triggers.try_watches,
          "Say which watches a change of files would concern, and start nothing.",
          gives("watches problems", watches=listed(ANY_MAP), problems=TEXTS),
          doc="`paths` are those of files, from the project's root; without any, all that the "
          "watches mean.",
          body=takes(paths=listed(TEXT), watch=TEXT), usage=404),
    Route("GET", "/watches", "read", triggers.watches, "List the watches of files.",
          gives("watches problems", watches=listed(ANY_MAP), problems=TEXTS), doc=_PROBLEMS),
    Route("GET", "/queues", "read", triggers.queues, "Say how the queues stand.",
          gives("queues", queues=listed(
              gives("queue at ready dead bundles", queue=TEXT, at=TEXT, ready=WHOLE,
                    delayed=_MAYBE_WHOLE, taken=_MAYBE_WHOLE, dead=WHOLE,
                    oldest_seconds=MAYBE_NUMBER, bundles=listed(TEXT)))),
          query=(Param("queue", "Only this one."),)),
    Route("POST", "/queues/publish", "run", triggers.publish, "Publish a message.",
          gives("queue at id bundles", queue=TEXT, at=TEXT, id=TEXT, bundles=listed(TEXT),
                hint=MAYBE_TEXT),
          doc="Two messages with the same `id` start one run, and so do two requests with the "
          "same Idempotency-Key.",
          body=takes("queue data", queue=TEXT, data=ANYTHING, id=TEXT, headers=TEXTS,
                     priority={"type": "integer", "minimum": 0, "maximum": 9},
                     delay_seconds={"type": "number", "minimum": 0, "maximum": 2_592_000}),
          starts=True),
    Route("GET", "/queues/dead", "read", triggers.dead, "List messages that were set aside.",
          gives("queue dead", queue=TEXT, dead=listed(ANY_MAP)),
          query=(Param("queue", "Of this queue.", is_needed=True),
                 Param("limit", "How many, the oldest first.", "integer", 100, 1, 100_000))),
    Route("POST", "/queues/retry", "run", triggers.retry, "Put messages back that were set aside.",
          gives("queue retried", queue=TEXT, retried=WHOLE),
          doc="Those with these `ids`, or `all`.", body=_WHICH),
    Route("POST", "/queues/drop", "admin", triggers.drop,
          "Remove messages for ever that were set aside.",
          gives("queue dropped", queue=TEXT, dropped=WHOLE),
          doc="Those with these `ids`, or `all`.", body=_WHICH),
    Route("POST", "/queues/purge", "admin", triggers.purge,
          "Remove all messages for ever that nobody has taken, the delayed ones too.",
          gives("queue removed", queue=TEXT, removed=WHOLE), body=takes("queue", queue=TEXT)),
    Route("GET", "/workers", "read", triggers.workers, "List the processes that drive runs.",
          gives("workers at", workers=listed(_WORKER), at=NUMBER),
          doc="`at` is when that was, in seconds since the epoch."),
    Route("POST", "/workers/drain", "admin", triggers.drain,
          "Have a worker take nothing more, let running steps finish, and end.",
          _WORKER, body=takes("worker", worker=TEXT), usage=404),
)  # fmt: skip
