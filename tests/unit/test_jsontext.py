"""One rule for JSON from outside, at every door where it comes in."""

from __future__ import annotations

import pytest

from aiworkflow.bundle.workflow import Output, OutputForm
from aiworkflow.client.batch_lines import read_lines
from aiworkflow.errors import AIWorkflowError
from aiworkflow.http.jsonbody import read_json
from aiworkflow.http.problem import RequestRefused
from aiworkflow.jsontext import MOST_DEPTH, NotJson, strict_json, strict_json_bytes
from aiworkflow.steps.output import parse_output
from aiworkflow.triggers.webhook.payload import Unreadable, read_body

REFUSED = [
    (b'{"a": NaN}', "NaN is not JSON"),
    (b'{"a": -1e999}', "the number -1e999 is too large"),
    (b'{"a": 1, "a": 1}', "the key `a` is there twice in one object"),
    (b'{"a": "\\udc00"}', "half a surrogate pair"),
    (b'{"a": ' + b"[" * MOST_DEPTH + b"]" * MOST_DEPTH + b"}", "nested deeper than 100 levels"),
    (b'{"a": ' + b"[" * 100_000, "nested deeper than 100 levels"),
    (b'{"a": ' + b"1" * 5000 + b"}", "thousands of digits"),
    (b'{"a": }', "expecting value"),
]


@pytest.mark.parametrize(("content", "why"), REFUSED)
def test_every_door_refuses_the_same_in_the_same_words(content: bytes, why: str) -> None:
    with pytest.raises(NotJson, match=why):
        strict_json_bytes(content)
    with pytest.raises(RequestRefused, match=why):
        read_json(content)
    with pytest.raises(Unreadable, match=why):
        read_body(content, "application/json")
    with pytest.raises(AIWorkflowError, match=why):
        parse_output(content, Output(OutputForm.JSON))
    (line,) = read_lines(content)
    assert line.problem is not None
    assert why in line.problem.message


def test_the_deepest_that_is_taken() -> None:
    deepest = "[" * MOST_DEPTH + "]" * MOST_DEPTH
    assert strict_json(deepest) == strict_json_bytes(deepest.encode())


def test_bytes_are_utf8() -> None:
    with pytest.raises(NotJson, match="it is not UTF-8"):
        strict_json_bytes(b'"\xff"')
