"""The suite of the contract, for answers that were recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from aiworkflow.agents.answers import RecordedAnswer, RecordedError, answer_text, read_answer
from aiworkflow.agents.contract import Consumed
from aiworkflow.agents.replay import ReplayAgent

suite = pytest.importorskip("tests.contract.agents.suite")
NOBODY = "nobody is asked"


class ReplayStage:
    """A replayed agent before files of answers: each is written, and read again."""

    lacks: Mapping[str, str] = {
        "asking_again": NOBODY,
        "tools": "what tools came to is part of the answer",
        "history": "the answer belongs to the prompt",
        **dict.fromkeys(
            ("gone", "check_gone", "cut", "nonsense", "flood", "hang", "models"), NOBODY
        ),
    }

    @contextmanager
    def open(self, folder: Path, *script: Any) -> Iterator[Any]:
        del folder
        heard: list[str] = []

        def find(prompt: str) -> RecordedAnswer:
            one = script[min(len(heard), len(script) - 1)]
            heard.append(prompt)
            return read_answer(_file(one), "answers/it.md")

        yield suite.Opened(ReplayAgent("m/m1", find), lambda: "\n".join(heard))


def _file(one: Any) -> str:
    used = Consumed(10, 5, 7)
    if isinstance(one, suite.Claims):
        count = json.dumps(one.count)
        return f"---\ntokens: {{input: {count}, cached: {count}, output: {count}}}\ncost_usd: {count}\n---\nbegun\n"
    if one in {"auth", "rate_limit", "unavailable"} if isinstance(one, str) else False:
        return answer_text(RecordedAnswer(error=RecordedError(one, "refused")))
    if isinstance(one, dict):
        one = one.get("value", one)
    return answer_text(
        RecordedAnswer(one if isinstance(one, str) else json.dumps(one), "m/m1", consumed=used)
    )


class TestReplay(suite.AgentSuite):  # type: ignore[name-defined,misc]
    stage = ReplayStage()
