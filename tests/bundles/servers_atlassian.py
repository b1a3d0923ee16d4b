"""Jira Cloud and Confluence Cloud on loopback."""

from __future__ import annotations

import base64
import re
from typing import Any

from tests.bundles.loopback import Answer, Call, Loopback, route


class Atlassian(Loopback):
    """A site, for one account."""

    product = ""

    def __init__(self, email: str = "ada@example.org", token: str = "atlassian-secret") -> None:
        self.email, self.token = email, token
        super().__init__()

    def env(self) -> dict[str, str]:
        return {
            f"{self.product}_BASE_URL": self.url,
            f"{self.product}_EMAIL": self.email,
            f"{self.product}_API_TOKEN": self.token,
        }

    def refuse(self, call: Call) -> Answer | None:
        expected = base64.b64encode(f"{self.email}:{self.token}".encode()).decode()
        if call.headers.get("authorization") != f"Basic {expected}":
            text = "Client must be authenticated to access this resource."
            return Answer(401, {"message": text, "status-code": 401})
        return None


class Jira(Atlassian):
    """Issues with their fields, boards with sprints and backlogs."""

    product = "JIRA"

    def __init__(self, **account: str) -> None:
        self.issues: list[dict[str, Any]] = []
        self.sprints: dict[int, list[dict[str, Any]]] = {}
        self.page = 100
        super().__init__(**account)

    def issue(self, key: str, summary: str, **fields: Any) -> dict[str, Any]:
        """Add an issue; `category` is new, indeterminate or done; `sprint` and `in_backlog` place it."""
        category = fields.pop("category", "new")
        found = {
            "id": str(10_000 + len(self.issues)),
            "key": key,
            "sprint": fields.pop("sprint", None),
            "in_backlog": fields.pop("in_backlog", True),
            "fields": {
                "summary": summary,
                "description": None,
                "status": {
                    "name": fields.pop("status", category.title()),
                    "statusCategory": {"key": category},
                },
                "issuetype": {"name": fields.pop("type", "Story")},
                "assignee": None,
                "priority": {"name": "Medium"},
                "labels": [],
                "issuelinks": [],
                "updated": "2026-01-05T10:00:00.000+0000",
                **fields,
            },
        }
        self.issues.append(found)
        return found

    def sprint(self, board: int, id_: int, state: str, **more: Any) -> None:
        found = {"id": id_, "name": f"Sprint {id_}", "state": state, "originBoardId": board, **more}
        self.sprints.setdefault(board, []).append(found)

    @staticmethod
    def _shown(one: dict[str, Any], fields: list[str]) -> dict[str, Any]:
        chosen = {name: one["fields"].get(name) for name in fields}
        return {"id": one["id"], "key": one["key"], "fields": chosen}

    @route("POST", "/rest/api/3/search/jql")
    def _search(self, call: Call) -> Answer:
        body = call.body
        assert set(body) <= {"jql", "fields", "maxResults", "nextPageToken"}
        found = self._matching(body["jql"])
        if found is None:
            text = f"Error in the JQL Query: {body['jql']}"
            return Answer(400, {"errorMessages": [text], "errors": {}})
        at = int(body.get("nextPageToken", "0"))
        upto = at + min(body["maxResults"], self.page)
        answer: dict[str, Any] = {
            "issues": [self._shown(o, body["fields"]) for o in found[at:upto]]
        }
        if upto < len(found):
            answer["nextPageToken"] = str(upto)
        answer["isLast"] = upto >= len(found)
        return Answer(200, answer)

    def _matching(self, jql: str) -> list[dict[str, Any]] | None:
        """The queries that the bundles ask, and no others."""
        project = re.fullmatch(
            r'project = "([A-Z][A-Z0-9_]*)" AND \(updated >= "-\d+h" OR '
            r'statusCategory = "In Progress"\) ORDER BY updated DESC',
            jql,
        )
        if project:
            return [one for one in self.issues if one["key"].startswith(project[1] + "-")]
        sprint = re.fullmatch(r"sprint = (\d+) AND statusCategory = Done", jql)
        if sprint:
            return [
                one
                for one in self.issues
                if one["sprint"] == int(sprint[1])
                and one["fields"]["status"]["statusCategory"]["key"] == "done"
            ]
        planned = re.fullmatch(r"sprint = (\d+) AND statusCategory != Done ORDER BY rank", jql)
        if planned:
            return [
                one
                for one in self.issues
                if one["sprint"] == int(planned[1])
                and one["fields"]["status"]["statusCategory"]["key"] != "done"
            ]
        return None

    @route("GET", r"/rest/agile/1\.0/board/(?P<board>\d+)/sprint")
    def _sprints(self, call: Call, board: str) -> Answer:
        states = set(call.one("state").split(","))
        found = [one for one in self.sprints.get(int(board), []) if one["state"] in states]
        at, size = call.number("startAt", 0), min(call.number("maxResults", 50), 50)
        values = found[at : at + size]
        last = at + size >= len(found)
        return Answer(200, {"maxResults": size, "startAt": at, "isLast": last, "values": values})

    @route("GET", r"/rest/agile/1\.0/board/(?P<board>\d+)/backlog")
    def _backlog(self, call: Call, board: str) -> Answer:
        assert "statusCategory != Done" in call.one("jql")
        found = [
            one
            for one in self.issues
            if one["in_backlog"] and one["fields"]["status"]["statusCategory"]["key"] != "done"
        ]
        at, size = call.number("startAt", 0), min(call.number("maxResults", 50), self.page)
        fields = call.one("fields").split(",")
        shown = [self._shown(one, fields) for one in found[at : at + size]]
        answer = {"startAt": at, "maxResults": size, "total": len(found), "issues": shown}
        return Answer(200, answer)

    def _find_sprint(self, id_: str) -> dict[str, Any] | None:
        every = [one for listed in self.sprints.values() for one in listed]
        return next((one for one in every if one["id"] == int(id_)), None)

    @route("GET", r"/rest/agile/1\.0/sprint/(?P<id_>\d+)")
    def _sprint(self, call: Call, id_: str) -> Answer:
        found = self._find_sprint(id_)
        if found is None:
            return Answer(404, {"errorMessages": ["Sprint does not exist"], "errors": {}})
        return Answer(200, found)

    @route("POST", r"/rest/agile/1\.0/sprint/(?P<id_>\d+)/issue")
    def _move(self, call: Call, id_: str) -> Answer:
        keys = call.body["issues"]
        if len(keys) > 50:
            return Answer(400, {"errorMessages": ["at most 50 issues"], "errors": {}})
        for key in keys:
            found = next((one for one in self.issues if one["key"] == key), None)
            if found is None:
                text = f"Issue with key or ID {key} does not exist"
                return Answer(400, {"errorMessages": [text], "errors": {}})
            found["sprint"], found["in_backlog"] = int(id_), False
        return Answer(204)


class Confluence(Atlassian):
    """Spaces by key, and pages in them."""

    product = "CONFLUENCE"

    def __init__(self, **account: str) -> None:
        self.spaces = {"OPS": "65537"}
        self.pages: list[dict[str, Any]] = []
        super().__init__(**account)

    @route("GET", "/wiki/api/v2/spaces")
    def _spaces(self, call: Call) -> Answer:
        id_ = self.spaces.get(call.one("keys"))
        found = [{"id": id_, "key": call.one("keys")}] if id_ else []
        return Answer(200, {"results": found, "_links": {}})

    @route("GET", "/wiki/api/v2/pages")
    def _find(self, call: Call) -> Answer:
        found = [
            {key: value for key, value in one.items() if key != "body"}
            for one in self.pages
            if one["spaceId"] == call.one("space-id") and one["title"] == call.one("title")
        ]
        return Answer(200, {"results": found[: call.number("limit", 25)], "_links": {}})

    @route("POST", "/wiki/api/v2/pages")
    def _create(self, call: Call) -> Answer:
        body = call.body
        assert body["body"]["representation"] == "storage"
        assert body["status"] == "current"
        if any(o["title"] == body["title"] and o["spaceId"] == body["spaceId"] for o in self.pages):
            title = (
                "A page with this title already exists: A page already exists with the same TITLE"
            )
            error = {
                "status": 400,
                "code": "INVALID_REQUEST_PARAMETER",
                "title": title,
                "detail": None,
            }
            return Answer(400, {"errors": [error]})
        id_ = str(1000 + len(self.pages))
        page = {
            "id": id_,
            "spaceId": body["spaceId"],
            "title": body["title"],
            "status": "current",
            "version": {"number": 1},
            "body": body["body"],
            "_links": {"webui": f"/spaces/OPS/pages/{id_}"},
        }
        self.pages.append(page)
        return Answer(200, page)

    @route("PUT", r"/wiki/api/v2/pages/(?P<id_>\d+)")
    def _replace(self, call: Call, id_: str) -> Answer:
        body = call.body
        page = next(one for one in self.pages if one["id"] == id_)
        assert body["id"] == id_
        assert body["status"] == "current"
        if body["version"]["number"] != page["version"]["number"] + 1:
            title = f"Version must be incremented. Current version: {page['version']['number']}"
            return Answer(409, {"errors": [{"status": 409, "code": "CONFLICT", "title": title}]})
        page.update(title=body["title"], body=body["body"], version=body["version"])
        return Answer(200, page)
