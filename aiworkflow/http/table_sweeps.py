"""The rows of the table of routes for sweeps over many repositories."""

from __future__ import annotations

from typing import Final

from aiworkflow.http import sweeps
from aiworkflow.http.route import Param, Route, Schema
from aiworkflow.http.schemas import (
    ANY_MAP,
    CURSOR,
    FLAG,
    MAYBE_TEXT,
    NUMBER,
    TEXT,
    TEXTS,
    WHOLE,
    gives,
    listed,
    takes,
)

_USD: Final[Schema] = {"type": "number", "minimum": 0, "maximum": 1_000_000_000}
_BEGUN: Final = gives("sweep new", sweep=TEXT, new=FLAG)
_KEYS: Final[dict[str, Schema]] = {
    "sweep": TEXT,
    "bundle": TEXT,
    "status": TEXT,
    "stopped": MAYBE_TEXT,
    "undoing": FLAG,
    "goes_on": FLAG,
    "counts": ANY_MAP,
    "branch": TEXT,
    "cost_usd": NUMBER,
    "seconds": NUMBER,
    "dead_letters": listed(TEXT),
}
_SWEEP: Final = gives(
    "sweep bundle status stopped undoing goes_on counts repositories dead_letters",
    **_KEYS,
    repositories=listed(gives("repository status run branch error", repository=TEXT, status=TEXT)),
)
_ROW: Final = gives("sweep bundle status counts repositories", **_KEYS, repositories=WHOLE)
_MORE: Final = takes(max_usd=_USD)
_WANTED: Final[dict[str, Schema]] = {
    "bundle": TEXT,
    "tags": listed(TEXT),
    "repos": listed(TEXT),
    "all": FLAG,
    "inputs": ANY_MAP,
    "texts": TEXTS,
    "canary": TEXT,
    "max_parallel": {"type": "integer", "minimum": 1, "maximum": 1000},
    "stop_after_failures": {"type": "integer", "minimum": 1, "maximum": 1000},
    "max_usd": _USD,
    "branch": TEXT,
    "message": TEXT,
    "author": TEXT,
    "agent": TEXT,
}

SWEEPS: Final = (
    Route("POST", "/sweeps", "run", sweeps.start, "Run a bundle in many repositories.", _BEGUN,
          doc="Once in each of repos.yaml with all `tags`, or with these names, or all. This server "
          "drives it; when it ends before the sweep does, the next one goes on with it.",
          body=takes("bundle", **_WANTED, agreed=FLAG), status=202, starts=True, errors=(404, 422)),
    Route("POST", "/sweeps/plan", "read", sweeps.plan,
          "Say what a sweep would do, and start nothing.",
          gives("bundle branch repositories canary max_parallel", bundle=TEXT, branch=TEXT,
                repositories=listed(ANY_MAP), canary=WHOLE, max_parallel=WHOLE),
          body=takes("bundle", **_WANTED), errors=(404, 422)),
    Route("GET", "/sweeps", "read", sweeps.list_, "List sweeps, newest first.",
          gives("sweeps next", sweeps=listed(_ROW), next=MAYBE_TEXT),
          query=(Param("limit", "How many.", "integer", 20, 1, 1000),
                 Param("before", "`next` of the page before.", form=CURSOR))),
    Route("GET", "/sweeps/{sweep}", "read", sweeps.show,
          "Show what has become of each repository.", _SWEEP),
    Route("GET", "/sweeps/{sweep}/report", "read", sweeps.report,
          "Give the report of a sweep, as Markdown.",
          gives("sweep report", sweep=TEXT, report=TEXT)),
    Route("POST", "/sweeps/{sweep}/resume", "run", sweeps.resume,
          "Go on with a sweep that was stopped or interrupted.", _BEGUN, body=_MORE, status=202,
          usage=409, errors=(409, 422)),
    Route("POST", "/sweeps/{sweep}/retry", "run", sweeps.retry,
          "Try the repositories again that failed, with the bundle as it is now.", _BEGUN,
          body=_MORE, status=202, usage=409, errors=(409, 422)),
    Route("POST", "/sweeps/{sweep}/undo", "run", sweeps.undo,
          "Take back what the runs did, the last first, and remove their branches.", _BEGUN,
          body=takes(), status=202, usage=409, errors=(409,)),
    Route("POST", "/sweeps/{sweep}/stop", "run", sweeps.stop,
          "Begin nothing more, and stop the runs that are under way.",
          gives("sweep stopping", sweep=TEXT, stopping=FLAG), body=takes(), status=202,
          usage=409, errors=(409,)),
    Route("POST", "/repos/sync", "run", sweeps.sync,
          "Clone the repositories that have a URL and are not there yet, and fetch the rest.",
          gives("synced failed", synced=listed(TEXT), failed=TEXTS),
          doc="Those with all `tags` and one of these names (`repos`); answers when all are done.",
          body=takes(tags=listed(TEXT), repos=listed(TEXT)), usage=404, errors=(422,)),
    Route("GET", "/repos", "read", sweeps.repos, "List the repositories that sweeps can be over.",
          gives("repositories", repositories=listed(ANY_MAP)),
          query=(Param("tag", "Only those with all these tags.", "strings"),), usage=404,
          errors=(422,)),
)  # fmt: skip
