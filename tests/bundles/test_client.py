"""The small HTTP client of the tools: what it sends, follows and refuses, and how it says so."""

from __future__ import annotations

import socket
import time

import pytest

from tests.bundles.driving import call
from tests.bundles.loopback import Answer, Call, Loopback
from tests.bundles.servers import GitHub, PyPI


def pull(env: dict[str, str]) -> object:
    return call("code-review", "github", "pull", env, repo="shop/cart", number=7)


@pytest.mark.parametrize(
    ("status", "body", "headers", "said"),
    [
        (401, {"message": "Bad credentials"}, {}, "with 401: Bad credentials"),
        (
            404,
            {"message": "Not Found", "documentation_url": "https://x"},
            {},
            "with 404: Not Found",
        ),
        (
            422,
            {
                "message": "Validation Failed",
                "errors": [{"resource": "Issue", "field": "title", "code": "missing_field"}],
            },
            {},
            "Validation Failed; title is missing_field",
        ),
        (
            429,
            {"message": "slow down"},
            {"Retry_After": "17"},
            "rate limit reached, try again after 17 s",
        ),
        (403, {"message": "secondary rate limit"}, {"Retry_After": "60"}, "try again after 60 s"),
        (500, b"<html>oops</html>", {}, "with 500"),
        (503, None, {"Retry_After": "5"}, "try again after 5 s"),
    ],
)
def test_a_refusal_says_what_the_server_said(
    github: GitHub, status: int, body: object, headers: dict[str, str], said: str
) -> None:
    github.plan(status, body, **headers)
    ended = pull(github.env())
    assert ended.code == 1
    assert ended.complaint.startswith("GitHub answered GET /repos/shop/cart/pulls/7 with ")
    assert said in ended.complaint
    assert github.token not in ended.err


def test_githubs_own_rate_limit_is_told_in_seconds(github: GitHub) -> None:
    reset = str(int(time.time()) + 100)
    github.plan(
        403,
        {"message": "API rate limit exceeded"},
        X_RateLimit_Remaining="0",
        X_RateLimit_Reset=reset,
    )
    complaint = pull(github.env()).complaint
    waiting = int(complaint.rpartition("try again after ")[2].removesuffix(" s"))
    assert 80 <= waiting <= 100


def test_a_plain_403_is_no_rate_limit(github: GitHub) -> None:
    github.plan(403, {"message": "Resource not accessible by personal access token"})
    assert pull(github.env()).complaint.endswith("Resource not accessible by personal access token")


def test_an_answer_that_is_not_json_is_said_to_be_none(github: GitHub) -> None:
    github.plan(200, b"<html>login</html>")
    assert pull(github.env()).complaint.endswith("with something that is not JSON")


def test_a_server_that_is_not_there(github: GitHub) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        ended = pull({**github.env(), "GITHUB_API_URL": url})
    assert ended.complaint.startswith(f"GitHub cannot be reached at {url}: ")


class Elsewhere(Loopback):
    """Another host, which must never be asked."""

    def refuse(self, call: Call) -> Answer | None:
        return Answer(200, {"stolen": call.headers.get("authorization")})


def test_credentials_do_not_follow_a_redirect_to_another_host(github: GitHub) -> None:
    with Elsewhere() as other:
        github.plan(302, None, Location=f"{other.url}/repos/shop/cart/pulls/7")
        ended = pull(github.env())
        assert "nothing is sent to other hosts" in ended.complaint
        assert other.calls == []


def test_credentials_do_not_follow_a_page_on_another_host(github: GitHub) -> None:
    github.pull("shop/cart", 7)
    with Elsewhere() as other:
        github.plan(200, [], path="/files$", Link=f'<{other.url}/files?page=2>; rel="next"')
        ended = pull(github.env())
        assert "nothing is sent to other hosts" in ended.complaint
        assert other.calls == []


def test_a_redirect_within_the_server_is_followed(github: GitHub) -> None:
    """As GitHub answers for a repository that was renamed."""
    github.pull("shop/basket", 7)
    github.plan(301, {"message": "Moved"}, Location=f"{github.url}/repos/shop/basket/pulls/7")
    github.repo("shop/cart")
    assert pull(github.env()).json["number"] == 7


def test_what_writes_is_not_redirected(github: GitHub) -> None:
    github.repo("shop/cart")
    github.plan(307, None, path="/issues$")  # the look for an issue that is there
    github.plan(200, [], path="/issues$")
    github.plan(307, None, path="/issues$", Location="/repos/shop/basket/issues")
    env = github.env()
    ended = call("dependency-update", "github", "track", env, repo="shop/cart", updates=[])
    assert ended.code == 1
    assert "POST" not in [one.method for one in github.asked("POST", "basket")]


def test_credentials_are_not_sent_in_the_clear() -> None:
    ended = pull(
        {"GITHUB_TOKEN": "t0ken-secret", "GITHUB_API_URL": "http://github.example.org/api"}
    )
    assert ended.code == 2
    assert ended.complaint.endswith("credentials are not sent without https")


@pytest.mark.parametrize("base", ["github.com", "ftp://x.org", "https://user:pass@x.org", ""])
def test_a_base_url_is_checked(base: str) -> None:
    ended = pull({"GITHUB_TOKEN": "t0ken-secret", "GITHUB_API_URL": base or "://"})
    assert ended.code == 2
    assert "is no base URL for GitHub" in ended.complaint


def test_a_large_argument_comes_as_a_file(github: GitHub, tmp_path: object) -> None:
    from pathlib import Path

    file = Path(str(tmp_path)) / "files.json"
    file.write_text('[{"path": "a.py", "status": "modified", "patch": "@@ -1 +1 @@\\n+x"}]')
    ended = call("code-review", "changes", "parts", **{"files-file": str(file)})
    assert ended.json["parts"][0]["files"] == ["a.py"]


@pytest.mark.parametrize(
    ("operation", "arguments", "said"),
    [
        ("puhl", {}, "there is no operation `puhl`; this tool has pull, find_review, post_review"),
        ("pull", {"repo": "shop/cart"}, "the argument --number is missing"),
        ("pull", {"repo": "shop/cart", "number": "seven"}, "--number is not JSON"),
        ("pull", {"repo": "shop/cart", "number": True}, "--number takes int, not true"),
        ("pull", {"repo": "shop/cart", "number": 1, "more": 1}, "there is no argument --more"),
        ("pull", {"repo": "../../user", "number": 1}, "is no repository: write owner/name"),
    ],
)
def test_a_wrong_call_is_explained(operation: str, arguments: dict[str, object], said: str) -> None:
    env = {"GITHUB_TOKEN": "t0ken-secret"}
    ended = call("code-review", "github", operation, env, **arguments)
    assert ended.code == 2
    assert said in ended.complaint


def test_the_log_tells_each_request_and_no_secret(github: GitHub) -> None:
    github.pull("shop/cart", 7)
    ended = pull(github.env())
    lines = ended.err.splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        "GET /repos/shop/cart/pulls/7",
        "GET /repos/shop/cart/pulls/7/files",
    ]
    assert github.token not in ended.err + ended.out


def test_registries_are_asked_without_credentials(pypi: PyPI) -> None:
    pypi.package("requests", "2.31.0")
    found = call(
        "dependency-update", "registry", "latest", pypi.env(),
        ecosystem="pypi", name="requests", file="requirements.txt", current="2.31.0",
    ).json  # fmt: skip
    assert found["behind"] == "none"
    assert all("authorization" not in one.headers for one in pypi.calls)
