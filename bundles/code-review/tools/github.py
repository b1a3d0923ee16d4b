#!/usr/bin/env python3
"""Pull requests on GitHub: read one, and post a review made of bounded words only.

Needs GITHUB_TOKEN (a fine-grained token with "Pull requests: read and write" for `post_review`, read for
the rest).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from _github import github_api, repository_path
from _tool import USAGE, Problem, cell, code, count, main, this_run

if TYPE_CHECKING:
    from _http import Api

MOST_COMMENTS = 40
SENTENCES = {
    "bug": "This looks like a bug.",
    "security": "This looks like a security problem.",
    "performance": "This may be slow, or use too much memory.",
    "concurrency": "This may go wrong when things happen at the same time.",
    "error_handling": "An error is not handled here, or hidden.",
    "compatibility": "This may break those who use it today.",
    "tests": "A test is missing here, or does not test what it says.",
    "docs": "The documentation and the code say different things.",
    "maintainability": "This will be hard to understand or to change.",
}
VERDICTS = {
    "approve": "no objection",
    "comment": "worth a second look",
    "request_changes": "changes are advised before merging",
}


def place(repo: str, number: int) -> str:
    """The path of a pull request."""
    return f"{repository_path(repo)}/pulls/{number}"


def pull(repo: str, number: int) -> dict[str, Any]:
    """A pull request and what it changes."""
    github, path = github_api(), place(repo, number)
    found = github.get(path)
    files = [
        {
            "path": one["filename"],
            "status": one["status"],
            "added": one["additions"],
            "removed": one["deletions"],
            "patch": one.get("patch", ""),  # absent for binary and very large files
        }
        for page in github.pages(f"{path}/files", per_page=100)
        for one in page
    ]
    return {
        "number": found["number"],
        "title": found["title"],
        "description": found["body"] or "",
        "author": found["user"]["login"] if found["user"] else "ghost",
        "state": "merged" if found.get("merged") else found["state"],
        "draft": bool(found.get("draft")),
        "base": found["base"]["ref"],
        "head": found["head"]["sha"],
        "files": files,
    }


def mark() -> str:
    """What a review of this run is known by, so that it is not posted twice."""
    return f"<!-- aiworkflow {this_run() or 'by hand'} -->"


def find_review(repo: str, number: int) -> dict[str, Any] | None:
    """The review that this run has posted already, or null."""
    return _find(github_api(), place(repo, number))


def _find(github: Api, path: str) -> dict[str, Any] | None:
    for page in github.pages(f"{path}/reviews", per_page=100):
        for one in page:
            if mark() in (one["body"] or ""):
                return {"id": one["id"], "url": one["html_url"], "comments": -1}
    return None


def post_review(
    repo: str,
    number: int,
    head: str,
    verdict: str,
    score: int,
    findings: list[dict[str, Any]],
    left_out: int = 0,
) -> dict[str, Any]:
    """Post a review: sentences of ours, chosen by the words that the review came to.

    Args:
        head: the commit that was reviewed; GitHub shows the review as outdated when it has moved.
        findings: file, line, severity and category of each.
        left_out: findings that cannot be shown at a line.
    """
    github, path = github_api(), place(repo, number)
    done = _find(github, path)
    if done is not None:
        return done
    for one in findings:
        if one["category"] not in SENTENCES:
            raise Problem(f"`{one['category']}` is no category of ours", USAGE)
    comments = [
        {
            "path": one["file"],
            "line": one["line"],
            "side": "RIGHT",
            "body": f"**{one['severity']}** · {SENTENCES[one['category']]}",
        }
        for one in findings[:MOST_COMMENTS]
    ]
    body = {
        "commit_id": head,
        "event": "COMMENT",  # never an approval, never a block: that is for people
        "body": summary(verdict, score, findings, left_out),
        "comments": comments,
    }
    posted = github.send("POST", f"{path}/reviews", body)
    return {"id": posted["id"], "url": posted["html_url"], "comments": len(comments)}


def summary(verdict: str, score: int, findings: list[dict[str, Any]], left_out: int) -> str:
    """The text of the review."""
    if verdict not in VERDICTS:
        raise Problem(f"`{verdict}` is no verdict; there are {', '.join(VERDICTS)}", USAGE)
    lines = [f"**Automated review: {VERDICTS[verdict]}** (score {score} of 10)", ""]
    if findings:
        kinds: dict[str, int] = {}
        for one in findings:
            kinds[one["severity"]] = kinds.get(one["severity"], 0) + 1
        lines.append(", ".join(f"{number} {cell(kind)}" for kind, number in kinds.items()) + ".")
        beyond = findings[MOST_COMMENTS:]
        lines += [
            f"- {code(one['file'])}, line {one['line']}: {one['severity']}" for one in beyond[:60]
        ]
    else:
        lines.append("Nothing was found that belongs to a line of this change.")
    if left_out:
        lines.append(f"{count(left_out, 'more finding')} without a line in this change.")
    lines += [
        "",
        "The reasons are in the record of the run, for the people who started it.",
        mark(),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main({"pull": pull, "find_review": find_review, "post_review": post_review})
