"""The APIs that the bundles talk to, on loopback: GitHub, PyPI, npm here; the others beside.

Each checks what the real one checks (credentials, versions, required headers and fields, positions of
comments), pages as the real one does, and answers in its shapes, also when it refuses.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

from tests.bundles.loopback import Answer, Call, Loopback, route
from tests.bundles.servers_atlassian import Confluence, Jira
from tests.bundles.servers_operations import Datadog, PagerDuty, Slack

__all__ = ["Confluence", "Datadog", "GitHub", "Jira", "Npm", "PagerDuty", "PyPI", "Slack", "ago"]

REPO = r"/repos/(?P<owner>[^/]+)/(?P<name>[^/]+)"


def ago(**delta: float) -> str:
    """A time before now, as GitHub and PagerDuty write it."""
    return f"{datetime.now(UTC) - timedelta(**delta):%Y-%m-%dT%H:%M:%SZ}"


class GitHub(Loopback):
    """api.github.com, for one token."""

    def __init__(self, token: str = "github_pat_secret") -> None:
        self.token = token
        self.repos: dict[str, dict[str, Any]] = {}
        self.most_per_page = 100
        super().__init__()

    def env(self) -> dict[str, str]:
        return {"GITHUB_TOKEN": self.token, "GITHUB_API_URL": self.url}

    def repo(self, full_name: str) -> dict[str, Any]:
        """A repository, with lists of what it holds."""
        return self.repos.setdefault(
            full_name,
            {
                "pulls": [],
                "files": {},
                "reviews": {},
                "commits": [],
                "runs": [],
                "issues": [],
                "releases": [],
            },
        )

    def pull(self, full_name: str, number: int, **more: Any) -> dict[str, Any]:
        """Add a pull request."""
        owner = full_name.partition("/")[0]
        found = {
            "number": number,
            "title": f"Change {number}",
            "body": None,
            "state": "open",
            "draft": False,
            "merged": False,
            "merged_at": None,
            "user": {"login": "octocat"},
            "created_at": ago(days=1),
            "updated_at": ago(hours=1),
            "requested_reviewers": [],
            "base": {"ref": "main", "sha": "b" * 40},
            "head": {"ref": "topic", "sha": "a" * 40, "user": {"login": owner}},
            **more,
        }
        self.repo(full_name)["pulls"].append(found)
        return found

    def refuse(self, call: Call) -> Answer | None:
        if "user-agent" not in call.headers:
            return Answer(403, b"Request forbidden by administrative rules.")
        if call.headers.get("x-github-api-version") not in {"2022-11-28", "2026-03-10"}:
            return Answer(400, {"message": "Unsupported API version"})
        if call.headers.get("authorization") != f"Bearer {self.token}":
            return Answer(401, {"message": "Bad credentials", "status": "401"})
        assert call.headers["accept"] == "application/vnd.github+json"
        full_name = "/".join(call.path.split("/")[2:4])
        if full_name not in self.repos:
            return Answer(404, {"message": "Not Found", "status": "404"})
        return None

    def _page(self, call: Call, found: list[Any]) -> Answer:
        size = min(call.number("per_page", 30), self.most_per_page)
        page = call.number("page", 1)
        links = {}
        if page * size < len(found):
            rest = {key: values[0] for key, values in call.query.items() if key != "page"}
            query = "&".join(f"{key}={value}" for key, value in rest.items())
            last = -(-len(found) // size)
            url = f"{self.url}{call.path}?{query}"
            links["Link"] = f'<{url}&page={page + 1}>; rel="next", <{url}&page={last}>; rel="last"'
        return Answer(200, found[(page - 1) * size : page * size], links)

    @route("GET", REPO)
    def _repo(self, call: Call, owner: str, name: str) -> Answer:
        return Answer(200, {"full_name": f"{owner}/{name}", "default_branch": "main"})

    @route("GET", REPO + "/pulls")
    def _pulls(self, call: Call, owner: str, name: str) -> Answer:
        state = call.one("state", "open")
        found = [
            {key: value for key, value in one.items() if key != "merged"}  # as the list has it
            for one in self.repos[f"{owner}/{name}"]["pulls"]
            if state in {"all", one["state"]}
        ]
        key = {"created": "created_at", "updated": "updated_at"}[call.one("sort", "created")]
        found.sort(key=lambda one: one[key], reverse=call.one("direction", "desc") == "desc")
        return self._page(call, found)

    def _find(self, owner: str, name: str, number: str) -> dict[str, Any] | None:
        pulls = self.repos[f"{owner}/{name}"]["pulls"]
        return next((one for one in pulls if one["number"] == int(number)), None)

    @route("GET", REPO + r"/pulls/(?P<number>\d+)")
    def _pull(self, call: Call, owner: str, name: str, number: str) -> Answer:
        found = self._find(owner, name, number)
        return Answer(200, found) if found else Answer(404, {"message": "Not Found"})

    @route("GET", REPO + r"/pulls/(?P<number>\d+)/files")
    def _files(self, call: Call, owner: str, name: str, number: str) -> Answer:
        return self._page(call, self.repos[f"{owner}/{name}"]["files"].get(int(number), []))

    @route("GET", REPO + r"/pulls/(?P<number>\d+)/reviews")
    def _reviews(self, call: Call, owner: str, name: str, number: str) -> Answer:
        return self._page(call, self.repos[f"{owner}/{name}"]["reviews"].get(int(number), []))

    @route("POST", REPO + r"/pulls/(?P<number>\d+)/reviews")
    def _review(self, call: Call, owner: str, name: str, number: str) -> Answer:
        body, repo = call.body, self.repos[f"{owner}/{name}"]
        found = self._find(owner, name, number)
        assert found is not None
        assert body["event"] in {"APPROVE", "REQUEST_CHANGES", "COMMENT"}
        if body["commit_id"] != found["head"]["sha"]:
            return Answer(
                422, {"message": "Unprocessable Entity", "errors": ["Commit is not part"]}
            )
        files = {
            one["filename"]: one.get("patch", "") for one in repo["files"].get(int(number), [])
        }
        for comment in body["comments"]:
            assert comment["side"] == "RIGHT"
            if comment["path"] not in files:
                return Answer(
                    422,
                    {"message": "Unprocessable Entity", "errors": ["Path could not be resolved"]},
                )
            if comment["line"] not in _shown_lines(files[comment["path"]]):
                return Answer(
                    422,
                    {"message": "Unprocessable Entity", "errors": ["Line could not be resolved"]},
                )
        reviews = repo["reviews"].setdefault(int(number), [])
        review = {
            "id": 80 + len(reviews),
            "body": body["body"],
            "state": "COMMENTED",
            "html_url": f"https://github.com/{owner}/{name}/pull/{number}#pullrequestreview-80",
            "comments": body["comments"],
        }
        reviews.append(review)
        return Answer(200, {key: value for key, value in review.items() if key != "comments"})

    @route("GET", REPO + "/commits")
    def _commits(self, call: Call, owner: str, name: str) -> Answer:
        since = call.one("since")
        found = self.repos[f"{owner}/{name}"]["commits"]
        return self._page(call, [o for o in found if o["commit"]["author"]["date"] >= since])

    @route("GET", REPO + "/actions/runs")
    def _runs(self, call: Call, owner: str, name: str) -> Answer:
        assert call.one("status") == "completed"
        found = [
            one
            for one in self.repos[f"{owner}/{name}"]["runs"]
            if one["head_branch"] == call.one("branch")
        ]
        return Answer(200, {"total_count": len(found), "workflow_runs": found})

    @route("GET", REPO + "/releases")
    def _releases(self, call: Call, owner: str, name: str) -> Answer:
        return self._page(call, self.repos[f"{owner}/{name}"]["releases"])

    @route("GET", REPO + "/issues")
    def _issues(self, call: Call, owner: str, name: str) -> Answer:
        labels = set(filter(None, call.one("labels").split(",")))
        state = call.one("state", "open")
        found = [
            one
            for one in self.repos[f"{owner}/{name}"]["issues"]
            if state in {"all", one["state"]}
            and labels <= {label["name"] for label in one["labels"]}
        ]
        return self._page(call, found)

    @route("POST", REPO + "/issues")
    def _issue(self, call: Call, owner: str, name: str) -> Answer:
        issues = self.repos[f"{owner}/{name}"]["issues"]
        issue = {
            "number": 100 + len(issues),
            "title": call.body["title"],
            "body": call.body["body"],
            "state": "open",
            "labels": [{"name": label} for label in call.body["labels"]],
            "html_url": f"https://github.com/{owner}/{name}/issues/{100 + len(issues)}",
        }
        issues.append(issue)
        return Answer(201, issue)

    @route("PATCH", REPO + r"/issues/(?P<number>\d+)")
    def _change_issue(self, call: Call, owner: str, name: str, number: str) -> Answer:
        issues = self.repos[f"{owner}/{name}"]["issues"]
        issue = next(one for one in issues if one["number"] == int(number))
        assert set(call.body) <= {"title", "body", "state", "labels"}
        issue.update(call.body)
        return Answer(200, issue)


def _shown_lines(patch: str) -> set[int]:
    """Lines on the right side of a patch: where GitHub lets a comment stand."""
    found: set[int] = set()
    at = 0
    for line in patch.split("\n"):
        if line.startswith("@@"):
            at = int(line.split("+")[1].split(" ")[0].split(",")[0])
        elif line.startswith(("+", " ")):
            found.add(at)
            at += 1
    return found


class PyPI(Loopback):
    """pypi.org's JSON API."""

    def __init__(self) -> None:
        self.packages: dict[str, dict[str, Any]] = {}
        super().__init__()

    def env(self) -> dict[str, str]:
        return {"PYPI_URL": self.url}

    def package(self, name: str, *versions: str, yanked: tuple[str, ...] = (), **info: Any) -> None:
        """Add a package; `vulnerabilities` maps a version to what is known against it."""
        self.packages[name.lower()] = {
            "info": {
                "name": name,
                "version": versions[-1],
                "home_page": None,
                "project_urls": None,
                **info,
            },
            "versions": versions,
            "yanked": yanked,
            "vulnerabilities": info.get("vulnerabilities", {}),
        }

    def refuse(self, call: Call) -> Answer | None:
        assert "authorization" not in call.headers
        return None

    @route("GET", r"/pypi/(?P<name>[^/]+)/json")
    def _project(self, call: Call, name: str) -> Answer:
        found = self.packages.get(name.lower())
        if found is None:
            return Answer(404, {"message": "Not Found"})
        releases = {
            version: [
                {"filename": f"{name}-{version}.tar.gz", "yanked": version in found["yanked"]}
            ]
            for version in found["versions"]
        }
        return Answer(200, {"info": found["info"], "releases": releases, "vulnerabilities": []})

    @route("GET", r"/pypi/(?P<name>[^/]+)/(?P<version>[^/]+)/json")
    def _release(self, call: Call, name: str, version: str) -> Answer:
        found = self.packages.get(name.lower())
        if found is None or version not in found["versions"]:
            return Answer(404, {"message": "Not Found"})
        info = {**found["info"], "version": version, "yanked": version in found["yanked"]}
        known = found["vulnerabilities"].get(version, [])
        return Answer(200, {"info": info, "vulnerabilities": known})


class Npm(Loopback):
    """registry.npmjs.org."""

    def __init__(self) -> None:
        self.packages: dict[str, dict[str, Any]] = {}
        self.advisories: dict[str, list[dict[str, Any]]] = {}
        super().__init__()

    def env(self) -> dict[str, str]:
        return {"NPM_REGISTRY_URL": self.url}

    def package(
        self, name: str, *versions: str, deprecated: tuple[str, ...] = (), **more: Any
    ) -> None:
        listed = {
            version: {
                "name": name,
                "version": version,
                **({"deprecated": "do not use"} if version in deprecated else {}),
                **more,
            }
            for version in versions
        }
        tags = {"latest": versions[-1]}
        self.packages[name] = {"name": name, "dist-tags": tags, "versions": listed}

    def refuse(self, call: Call) -> Answer | None:
        assert "authorization" not in call.headers
        return None

    @route("GET", r"/(?P<name>(?!-/)[^/]+)")
    def _project(self, call: Call, name: str) -> Answer:
        assert "application/vnd.npm.install-v1+json" in call.headers["accept"]
        assert "@" not in name or re.match(r"@[^/%]+%2F", name), "a scope's slash is quoted"
        found = self.packages.get(unquote(name))
        return Answer(200, found) if found else Answer(404, {"error": "Not found"})

    @route("GET", r"/(?P<name>(?!-/)[^/]+)/latest")
    def _latest(self, call: Call, name: str) -> Answer:
        found = self.packages.get(unquote(name))
        if found is None:
            return Answer(404, {"error": "Not found"})
        return Answer(200, found["versions"][found["dist-tags"]["latest"]])

    @route("POST", r"/-/npm/v1/security/advisories/bulk")
    def _bulk(self, call: Call) -> Answer:
        found = {
            name: [one for one in self.advisories.get(name, []) if one["version"] in versions]
            for name, versions in call.body.items()
        }
        return Answer(200, {name: listed for name, listed in found.items() if listed})
