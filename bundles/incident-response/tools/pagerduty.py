#!/usr/bin/env python3
"""Incidents of PagerDuty: read one with its log, and add a note made of our own sentences.

Needs PAGERDUTY_TOKEN (an API access key); `note` also PAGERDUTY_FROM, the address of a user of the account.
PAGERDUTY_API_URL is https://api.pagerduty.com unless set (https://api.eu.pagerduty.com in Europe).
"""

from __future__ import annotations

import datetime
import re
from typing import Any

from _http import Api, quoted
from _incident import sentences
from _tool import USAGE, Problem, credential, log, main, setting, this_run

MOST_ENTRIES = 500
MOST_TEXT = 4_000


def api() -> Api:
    """PagerDuty's REST API, version 2."""
    where = "create a key in PagerDuty under Integrations, API Access Keys"
    return Api(
        "PagerDuty",
        setting("PAGERDUTY_API_URL", "https://api.pagerduty.com"),
        {
            "Accept": "application/vnd.pagerduty+json;version=2",
            "Authorization": f"Token token={credential('PAGERDUTY_TOKEN', where)}",
        },
    )


def place(incident: str) -> str:
    """The path of an incident."""
    if not re.fullmatch(r"[A-Z0-9]{6,20}", incident):
        raise Problem(
            f"`{incident[:40]}` is no id of an incident: it is the last part of its URL", USAGE
        )
    return f"/incidents/{quoted(incident)}"


def moment(text: str) -> datetime.datetime:
    """A time as PagerDuty writes it."""
    return datetime.datetime.fromisoformat(text).astimezone(datetime.UTC)


def stamp(at: datetime.datetime) -> str:
    """A time as we hand it on."""
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def incident(incident: str, before: int, after: int) -> dict[str, Any]:
    """An incident, and the window of time to look at.

    Args:
        before: minutes before it was created.
        after: minutes after it was created, but not beyond now.
    """
    found = api().get(place(incident))["incident"]
    created, now = moment(found["created_at"]), datetime.datetime.now(datetime.UTC)
    end = min(now, created + datetime.timedelta(minutes=after))
    return {
        "id": found["id"],
        "number": found["incident_number"],
        "status": found["status"],
        "urgency": found["urgency"],
        "created": stamp(created),
        "start": stamp(created - datetime.timedelta(minutes=before)),
        "end": stamp(end),
        "title": found["title"],
        "service": (found.get("service") or {}).get("summary") or "none",
        "assigned": [one["assignee"]["summary"] for one in found.get("assignments") or []],
        "url": found["html_url"],
    }


def timeline(incident: str) -> dict[str, Any]:
    """What happened to the incident, its alerts and its notes, in order of time."""
    pagerduty, path = api(), place(incident)
    entries = [
        {
            "at": one["created_at"],
            "kind": one["type"].removesuffix("_log_entry"),
            "text": _text(one),
        }
        for one in _listed(
            pagerduty, f"{path}/log_entries", "log_entries", **{"include[]": "channels"}
        )
    ]
    entries += [
        {"at": one["created_at"], "kind": "note", "text": _cut(one["content"])}
        for one in pagerduty.get(f"{path}/notes")["notes"]
    ]
    alerts = _listed(pagerduty, f"{path}/alerts", "alerts")
    entries += [{"at": one["created_at"], "kind": "alert", "text": _alert(one)} for one in alerts]
    entries.sort(key=lambda one: moment(one["at"]))
    return {"entries": [{**one, "at": stamp(moment(one["at"]))} for one in entries]}


def _listed(pagerduty: Api, path: str, key: str, **query: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        page = pagerduty.get(path, limit=100, offset=len(found), **query)
        found += page[key]
        if not page.get("more") or not page[key]:
            return found
        if len(found) >= MOST_ENTRIES:
            log(f"PagerDuty: more than {MOST_ENTRIES} {key}; the rest is left out")
            return found


def _text(entry: dict[str, Any]) -> str:
    channel = entry.get("channel") or {}
    said = [entry.get("summary") or "", channel.get("summary") or "", channel.get("notes") or ""]
    return _cut(" · ".join(dict.fromkeys(one for one in said if one)))


def _alert(alert: dict[str, Any]) -> str:
    details = ((alert.get("body") or {}).get("details")) or ""
    return _cut(
        f"{alert.get('summary') or 'alert'} ({alert.get('severity') or 'no severity'}) {details}"
    )


def _cut(text: str) -> str:
    return text if len(text) <= MOST_TEXT else text[:MOST_TEXT] + " […]"


# -- notes ----------------------------------------------------------------------------------------


def mark() -> str:
    """What a note of this run is known by, so that it is not written twice."""
    return f"[aiworkflow {this_run() or 'by hand'}]"


def find_note(incident: str) -> dict[str, Any] | None:
    """The note that this run has written already, or null."""
    return _find(api(), place(incident))


def _find(pagerduty: Api, path: str) -> dict[str, Any] | None:
    for one in pagerduty.get(f"{path}/notes")["notes"]:
        if mark() in one["content"]:
            return {"id": one["id"]}
    return None


def note(incident: str, assessment: dict[str, Any]) -> dict[str, Any]:
    """Add a note with the assessment, in our own sentences."""
    sender = setting("PAGERDUTY_FROM", where="you@example.com")
    pagerduty, path = api(), place(incident)
    done = _find(pagerduty, path)
    if done is not None:
        return done
    text = "\n".join(["Automated assessment.", *sentences(assessment), mark()])
    posted = pagerduty.send("POST", f"{path}/notes", {"note": {"content": text}}, From=sender)
    return {"id": posted["note"]["id"]}


if __name__ == "__main__":
    main({"incident": incident, "timeline": timeline, "find_note": find_note, "note": note})
