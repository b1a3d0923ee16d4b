"""Slack, PagerDuty and Datadog on loopback."""

from __future__ import annotations

import time
from typing import Any

from tests.bundles.loopback import Answer, Call, Loopback, route


class Slack(Loopback):
    """A workspace with channels, for one bot."""

    def __init__(self, token: str = "xoxb-slack-secret") -> None:
        self.token = token
        self.channels: dict[str, list[dict[str, Any]]] = {"C0123456789": []}
        self.page = 200
        super().__init__()

    def env(self) -> dict[str, str]:
        return {"SLACK_BOT_TOKEN": self.token, "SLACK_API_URL": f"{self.url}/api"}

    def refuse(self, call: Call) -> Answer | None:
        given = call.headers.get("authorization", "")
        if given != f"Bearer {self.token}":
            return Answer(200, {"ok": False, "error": "invalid_auth" if given else "not_authed"})
        return None

    @route("POST", "/api/chat.postMessage")
    def _post(self, call: Call) -> Answer:
        body = call.body
        messages = self.channels.get(body["channel"])
        if messages is None:
            return Answer(200, {"ok": False, "error": "channel_not_found"})
        if not body.get("text"):
            return Answer(200, {"ok": False, "error": "no_text"})
        metadata = body.get("metadata")
        assert metadata is None or set(metadata) == {"event_type", "event_payload"}
        message = {
            "type": "message",
            "text": body["text"],
            "ts": f"{time.time():.6f}",
            "bot_id": "B1",
        }
        messages.insert(0, message if metadata is None else {**message, "metadata": metadata})
        shown = {key: value for key, value in message.items() if key != "metadata"}
        answer = {"ok": True, "channel": body["channel"], "ts": message["ts"], "message": shown}
        return Answer(200, answer)

    @route("GET", "/api/conversations.history")
    def _history(self, call: Call) -> Answer:
        messages = self.channels.get(call.one("channel"))
        if messages is None:
            return Answer(200, {"ok": False, "error": "channel_not_found"})
        oldest = float(call.one("oldest", "0"))
        found = [one for one in messages if float(one["ts"]) >= oldest]
        if call.one("include_all_metadata") != "true":
            found = [{k: v for k, v in one.items() if k != "metadata"} for one in found]
        at = call.number("cursor", 0)
        upto = at + min(call.number("limit", 100), self.page)
        following = str(upto) if upto < len(found) else ""
        answer = {
            "ok": True,
            "messages": found[at:upto],
            "has_more": bool(following),
            "response_metadata": {"next_cursor": following},
        }
        return Answer(200, answer)


class PagerDuty(Loopback):
    """api.pagerduty.com, for one key."""

    def __init__(self, token: str = "pagerduty-secret") -> None:
        self.token = token
        self.users = {"ada@example.org"}
        self.incidents: dict[str, dict[str, Any]] = {}
        self.entries: dict[str, list[dict[str, Any]]] = {}
        self.alerts: dict[str, list[dict[str, Any]]] = {}
        self.notes: dict[str, list[dict[str, Any]]] = {}
        self.page = 100
        super().__init__()

    def env(self) -> dict[str, str]:
        return {
            "PAGERDUTY_TOKEN": self.token,
            "PAGERDUTY_API_URL": self.url,
            "PAGERDUTY_FROM": "ada@example.org",
        }

    def incident(self, id_: str, **more: Any) -> None:
        self.incidents[id_] = {
            "id": id_,
            "type": "incident",
            "incident_number": 4711,
            "title": "Checkout is slow",
            "status": "triggered",
            "urgency": "high",
            "created_at": "2026-01-05T10:00:00Z",
            "html_url": f"https://shop.pagerduty.com/incidents/{id_}",
            "service": {"id": "PSVC", "type": "service_reference", "summary": "Shop"},
            "assignments": [{"assignee": {"type": "user_reference", "summary": "Ada"}}],
            **more,
        }

    def refuse(self, call: Call) -> Answer | None:
        assert call.headers["accept"] == "application/vnd.pagerduty+json;version=2"
        if call.headers.get("authorization") != f"Token token={self.token}":
            return Answer(401, {"error": {"message": "Invalid credentials", "code": 2006}})
        if call.path.split("/")[2] not in self.incidents:
            error = {"message": "Not Found", "code": 2100, "errors": ["Incident Not Found"]}
            return Answer(404, {"error": error})
        if call.method != "GET" and call.headers.get("from") not in self.users:
            error = {
                "message": "Invalid Input Provided",
                "code": 2001,
                "errors": ["Requester User Not Found"],
            }
            return Answer(400, {"error": error})
        return None

    def _page(self, call: Call, key: str, found: list[Any]) -> Answer:
        at, size = call.number("offset", 0), min(call.number("limit", 25), self.page)
        more = at + size < len(found)
        shown = found[at : at + size]
        return Answer(200, {key: shown, "limit": size, "offset": at, "more": more, "total": None})

    @route("GET", r"/incidents/(?P<id_>\w+)")
    def _incident(self, call: Call, id_: str) -> Answer:
        return Answer(200, {"incident": self.incidents[id_]})

    @route("GET", r"/incidents/(?P<id_>\w+)/log_entries")
    def _entries(self, call: Call, id_: str) -> Answer:
        assert call.query["include[]"] == ["channels"]
        return self._page(call, "log_entries", self.entries.get(id_, []))

    @route("GET", r"/incidents/(?P<id_>\w+)/alerts")
    def _alerts(self, call: Call, id_: str) -> Answer:
        return self._page(call, "alerts", self.alerts.get(id_, []))

    @route("GET", r"/incidents/(?P<id_>\w+)/notes")
    def _notes(self, call: Call, id_: str) -> Answer:
        return Answer(200, {"notes": self.notes.get(id_, [])})

    @route("POST", r"/incidents/(?P<id_>\w+)/notes")
    def _note(self, call: Call, id_: str) -> Answer:
        notes = self.notes.setdefault(id_, [])
        note = {
            "id": f"PNOTE{len(notes)}",
            "content": call.body["note"]["content"],
            "created_at": "2026-01-05T10:30:00Z",
            "user": {"type": "user_reference", "summary": "Ada"},
        }
        notes.append(note)
        return Answer(200, {"note": note})


class Datadog(Loopback):
    """api.datadoghq.com, for one pair of keys."""

    def __init__(self, api_key: str = "dd-api-secret", app_key: str = "dd-app-secret") -> None:
        self.api_key, self.app_key = api_key, app_key
        self.series: dict[str, list[dict[str, Any]]] = {}
        self.events: list[dict[str, Any]] = []
        self.logs: list[dict[str, Any]] = []
        self.page = 500
        super().__init__()

    def env(self) -> dict[str, str]:
        return {"DD_API_KEY": self.api_key, "DD_APP_KEY": self.app_key, "DD_API_URL": self.url}

    def refuse(self, call: Call) -> Answer | None:
        given = (call.headers.get("dd-api-key"), call.headers.get("dd-application-key"))
        return (
            None
            if given == (self.api_key, self.app_key)
            else Answer(403, {"errors": ["Forbidden"]})
        )

    @route("GET", "/api/v1/query")
    def _query(self, call: Call) -> Answer:
        start, end = call.number("from", 0), call.number("to", 0)
        query = call.one("query")
        if query not in self.series:
            return Answer(400, {"status": "error", "errors": [f"Error parsing query: {query}"]})
        found = [
            {
                **one,
                "pointlist": [p for p in one["pointlist"] if start * 1000 <= p[0] <= end * 1000],
            }
            for one in self.series[query]
        ]
        return Answer(
            200, {"status": "ok", "query": query, "series": found, "res_type": "time_series"}
        )

    @route("GET", "/api/v1/events")
    def _events(self, call: Call) -> Answer:
        tags = set(filter(None, call.one("tags").split(",")))
        start, end = call.number("start", 0), call.number("end", 0)
        found = [
            one
            for one in self.events
            if start <= one["date_happened"] <= end and tags <= set(one["tags"])
        ]
        return Answer(200, {"events": found})

    @route("POST", "/api/v2/logs/events/search")
    def _logs(self, call: Call) -> Answer:
        body = call.body
        assert {"query", "from", "to"} <= set(body["filter"])
        assert body["sort"] in {"timestamp", "-timestamp"}
        at = int(body["page"].get("cursor", "0"))
        upto = at + min(body["page"]["limit"], 1000, self.page)
        data = [
            {"id": str(number), "type": "log", "attributes": one}
            for number, one in enumerate(self.logs)
        ][at:upto]
        page = {"after": str(upto)} if upto < len(self.logs) else {}
        return Answer(200, {"data": data, "meta": {"page": page, "status": "done"}})
