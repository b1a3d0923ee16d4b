"""repos.yaml: what is read of it, and that a secret in a URL is never repeated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiworkflow.bundle.repofile import RepoEntry, holds_secret, is_url, name_of, read_repos
from aiworkflow.diagnostics import Report, Source


def read(text: str) -> tuple[tuple[RepoEntry, ...], list[str]]:
    report = Report()
    found = read_repos(Source("repos.yaml", text), report)
    return found, [f"{one.code} {one.message}" for one in report.sorted()]


def test_what_is_listed() -> None:
    found, wrong = read(
        "repos:\n  - {path: ../shop, tags: [python, web]}\n"
        "  - {url: 'git@github.com:acme/till.git', branch: develop, name: acme/till}\n"
    )
    assert wrong == []
    assert found == (
        RepoEntry("shop", "../shop", "", ("python", "web"), ""),
        RepoEntry("acme/till", "", "git@github.com:acme/till.git", (), "develop"),
    )
    assert read("") == ((), [])


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("https://github.com/acme/shop.git", "shop"),
        ("git@github.com:shop", "shop"),
        ("ssh://git@x.org:22/a/b/", "b"),
        ("../a b", "a-b"),
    ],
)
def test_names(place: str, name: str) -> None:
    assert name_of(place) == name


@pytest.mark.parametrize(
    ("url", "secret", "url_at_all"),
    [
        ("https://x.org/a.git", False, True),
        ("https://tok@x.org/a.git", True, True),
        ("HTTPS://tok@x.org/a.git", True, False),
        ("https://u:p@x.org/a", True, True),
        ("https://u:p@ss@x.org/a", True, True),
        ("ssh://git@x.org/a", False, True),
        ("ssh://git:pw@x.org/a", True, True),
        ("git@x.org:a", False, True),
        ("https://x.org/a@b", False, True),
        ("ext::sh -c true", False, False),
        ("-uorigin", False, False),
        ("../a", False, False),
    ],
)
def test_urls(url: str, secret: bool, url_at_all: bool) -> None:
    assert (holds_secret(url), is_url(url)) == (secret, url_at_all)
    found, wrong = read(f"repos: [{{url: '{url}'}}]\n")
    assert bool(found) == (url_at_all and not secret)
    if secret:
        assert wrong[0].startswith("AW653")
        assert "tok" not in wrong[0]
        assert "p@" not in wrong[0]


@given(st.text(max_size=200))
def test_any_text_is_read_or_reported(text: str) -> None:
    found, wrong = read(text)
    assert found == () or not wrong


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["path", "url", "tags", "name", "branch", "x"]),
            st.text(max_size=9),
            max_size=3,
        ),
        max_size=3,
    )
)
def test_any_list_is_read_or_reported(entries: list[dict[str, str]]) -> None:
    import json

    found, wrong = read("repos: " + json.dumps(entries))
    assert len(found) == len(entries) or wrong
