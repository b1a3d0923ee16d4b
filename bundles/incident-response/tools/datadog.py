#!/usr/bin/env python3
"""What Datadog saw: metrics, events and logs of a window of time. Reads only.

Needs DD_API_KEY and DD_APP_KEY. DD_API_URL is https://api.datadoghq.com unless set; other sites have their
own, such as https://api.datadoghq.eu.
"""

from __future__ import annotations

import datetime
import re
import statistics
from typing import Any

from _http import Api
from _tool import Problem, credential, log, main, setting

MOST_SERIES, MOST_POINTS, MOST_LOGS, MOST_EVENTS = 20, 30, 1_000, 100


def api() -> Api:
    """Datadog's API."""
    where = "create one in Datadog under Organization Settings"
    return Api(
        "Datadog",
        setting("DD_API_URL", "https://api.datadoghq.com"),
        {
            "DD-API-KEY": credential("DD_API_KEY", where),
            "DD-APPLICATION-KEY": credential("DD_APP_KEY", where),
        },
    )


def seconds(text: str) -> int:
    """A time as seconds since 1970."""
    return int(datetime.datetime.fromisoformat(text).timestamp())


def clock(at: float) -> str:
    """A time of day."""
    return f"{datetime.datetime.fromtimestamp(at, datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"


def metrics(query: str, start: str, created: str, end: str) -> dict[str, Any]:
    """The series of a query, with how each was before the incident and since."""
    answer = api().get(
        "/api/v1/query", **{"from": seconds(start), "to": seconds(end), "query": query}
    )
    if answer.get("status") == "error" or answer.get("error"):
        raise Problem(
            f"Datadog cannot answer `{query[:120]}`: {answer.get('error') or 'no reason given'}"
        )
    series = answer.get("series") or []
    if len(series) > MOST_SERIES:
        log(f"{len(series)} series; the first {MOST_SERIES} are used")
    return {
        "query": query,
        "series": [_series(one, seconds(created)) for one in series[:MOST_SERIES]],
    }


def _series(one: dict[str, Any], created: int) -> dict[str, Any]:
    points = [(at / 1000, value) for at, value in one["pointlist"] if value is not None]
    before = [value for at, value in points if at < created]
    since = [value for at, value in points if at >= created]
    highest = max(points, key=lambda point: point[1], default=None)
    step = max(1, -(-len(points) // MOST_POINTS))
    return {
        "name": one.get("display_name") or one.get("metric") or "",
        "scope": one.get("scope") or "",
        "before": _mean(before),
        "since": _mean(since),
        "highest": None if highest is None else highest[1],
        "highest_at": None if highest is None else clock(highest[0]),
        "points": [[clock(at), round(value, 6)] for at, value in points[::step]],
    }


def _mean(values: list[float]) -> float | None:
    return round(statistics.fmean(values), 6) if values else None


def events(start: str, end: str, tags: list[str]) -> dict[str, Any]:
    """Events, such as deployments and alerts, in order of time."""
    answer = api().get(
        "/api/v1/events",
        start=seconds(start),
        end=seconds(end),
        tags=",".join(tags) or None,
        unaggregated="true",
    )
    found = sorted(answer.get("events") or [], key=lambda one: one["date_happened"])
    return {
        "events": [
            {
                "at": clock(one["date_happened"]),
                "kind": one.get("alert_type") or "info",
                "source": one.get("source") or "",
                "title": one.get("title") or "",
                "text": (one.get("text") or "")[:500],
            }
            for one in found[-MOST_EVENTS:]
        ]
    }


def logs(query: str, start: str, end: str) -> dict[str, Any]:
    """Log messages, those that differ only in numbers and ids as one, the most frequent first."""
    datadog = api()
    body: dict[str, Any] = {
        "filter": {"query": query, "from": start, "to": end},
        "sort": "timestamp",
        "page": {"limit": 500},
    }
    found: list[dict[str, Any]] = []
    while True:
        page = datadog.send("POST", "/api/v2/logs/events/search", body)
        found += [one["attributes"] for one in page.get("data") or []]
        after = ((page.get("meta") or {}).get("page") or {}).get("after")
        if not after:
            break
        if len(found) >= MOST_LOGS:
            log(f"Datadog: more than {MOST_LOGS} log lines; the later ones are left out")
            break
        body["page"]["cursor"] = after
    return {"count": len(found), "messages": _grouped(found)}


def _grouped(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str, str], dict[str, Any]] = {}
    for one in found:
        message = (one.get("message") or "")[:1000]
        key = (one.get("service") or "", one.get("status") or "", _shape(message))
        there = groups.setdefault(
            key,
            {
                "service": key[0],
                "status": key[1],
                "message": message,
                "times": 0,
                "first": one.get("timestamp") or "",
            },
        )
        there["times"] += 1
        there["last"] = one.get("timestamp") or ""
    return sorted(groups.values(), key=lambda one: -one["times"])[:40]


def _shape(message: str) -> str:
    """A message without what differs each time: ids, numbers, addresses."""
    return re.sub(r"\b[0-9a-f]{8,}(?:-[0-9a-f]{4,})*\b|\d+", "#", message)[:200]


if __name__ == "__main__":
    main({"metrics": metrics, "events": events, "logs": logs})
