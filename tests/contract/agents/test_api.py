"""One suite for every adapter that reaches a model over its API, against servers on loopback."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from typing import Any

import pytest

from aiworkflow.agents import AgentError, AgentEvent, Answer, AskedAgain, Task, TextDelta
from aiworkflow.agents.api import ApiAgent
from aiworkflow.agents.config import AgentConfig
from aiworkflow.agents.contract import Consumed
from aiworkflow.agents.price import Price
from aiworkflow.expr import Enum, Integer, ListOf, ObjectOf, Property, Schema, Text
from tests.contract.agents.model_server import ModelServer

VERDICT = ObjectOf({"score": Property(Integer()), "verdict": Property(Enum(("good", "bad")))})


def agent(api: str, server: ModelServer, **more: Any) -> ApiAgent:
    provider = {"responses": "openai"}.get(api, api)
    more.setdefault("provider", provider)
    config = AgentConfig(api, api, server.url, "m1", None if api == "ollama" else "KEY", **more)
    return ApiAgent(config, "secret-key")


def perform(found: ApiAgent, **task: Any) -> tuple[Answer, list[AgentEvent]]:
    events: list[AgentEvent] = []
    task.setdefault("prompt", "Say hello.")
    return asyncio.run(found.perform(Task(**task), events.append)), events


def failing(found: ApiAgent, **task: Any) -> AgentError:
    with pytest.raises(AgentError) as raised:
        perform(found, **task)
    return raised.value


def test_text_comes_as_it_is_streamed_and_whole_at_the_end(api: str, serve: Any) -> None:
    answer, events = perform(agent(api, serve("Hello, wörld! ✓")))
    assert answer.text == "Hello, wörld! ✓"
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "Hello, wörld! ✓"
    assert len(events) > 1


def test_usage_is_normalised_with_cached_tokens_included(api: str, serve: Any) -> None:
    answer, _ = perform(agent(api, serve("hi")))
    cached = 0 if api == "ollama" else 5
    assert answer.consumed == Consumed(15, cached, 7)
    assert answer.model == "m1"


def test_the_request_says_what_the_protocol_asks_for(api: str, serve: Any) -> None:
    server = serve("hi")
    perform(agent(api, server, temperature=0.5, max_tokens=99, headers={"X-Team": "t"}))
    sent = server.requests[0]
    headers = {name.lower(): value for name, value in sent["headers"].items()}
    assert sent["body"]["model"] == "m1"
    assert sent["body"]["stream"] is True
    said = sent["body"]["input" if api == "responses" else "messages"]
    if api != "anthropic":
        assert said == [{"role": "user", "content": "Say hello."}]
    assert headers["x-team"] == "t"
    if api == "anthropic":
        text = {"type": "text", "text": "Say hello."}
        assert said == [{"role": "user", "content": [text]}], "what is not sent again is not cached"
        assert sent["path"] == "/v1/messages"
        assert headers["x-api-key"] == "secret-key"
        assert headers["anthropic-version"] == "2023-06-01"
        assert sent["body"]["max_tokens"] == 99
    elif api == "openai":
        assert sent["path"] == "/chat/completions"
        assert headers["authorization"] == "Bearer secret-key"
        assert sent["body"]["max_completion_tokens"] == 99
        assert sent["body"]["stream_options"] == {"include_usage": True}
    elif api == "responses":
        assert sent["path"] == "/responses"
        assert headers["authorization"] == "Bearer secret-key"
        assert sent["body"]["max_output_tokens"] == 99
        assert sent["body"]["store"] is False
    else:
        assert sent["path"] == "/api/chat"
        assert sent["body"]["options"] == {"num_predict": 99, "temperature": 0.5}


def test_an_object_is_checked_and_given_as_a_value(api: str, serve: Any) -> None:
    server = serve({"score": 7, "verdict": "good"})
    answer, _ = perform(agent(api, server), schema=VERDICT)
    assert answer.value == {"score": 7, "verdict": "good"}
    body = server.requests[0]["body"]
    asked = {
        "anthropic": lambda: body["tools"][0]["input_schema"],
        "openai": lambda: body["response_format"]["json_schema"]["schema"],
        "responses": lambda: body["text"]["format"]["schema"],
        "ollama": lambda: body["format"],
    }[api]()
    assert asked["properties"]["verdict"]["enum"] == ["good", "bad"]


@pytest.mark.parametrize("schema", [ListOf(Text()), Integer(), Enum(("yes", "no"))])
def test_what_is_no_object_travels_as_a_field_of_one(api: str, serve: Any, schema: Schema) -> None:
    value = {ListOf: ["a"], Integer: 3, Enum: "yes"}[type(schema)]
    answer, _ = perform(agent(api, serve({"value": value})), schema=schema)
    assert answer.value == value


def test_an_answer_that_does_not_fit_is_asked_for_again(api: str, serve: Any) -> None:
    server = serve({"score": "high"}, {"score": 7, "verdict": "good"})
    answer, events = perform(agent(api, server), schema=VERDICT)
    assert answer.value == {"score": 7, "verdict": "good"}
    assert answer.turns == 2
    assert answer.consumed.output_tokens == 14
    reasons = [event.reason for event in events if isinstance(event, AskedAgain)]
    assert "`score`: must be a whole number" in reasons[0]
    assert "`verdict`: is missing" in reasons[0]
    second = server.requests[1]["body"]["input" if api == "responses" else "messages"]
    assert [message["role"] for message in second] == ["user", "assistant", "user"]
    assert "`verdict`: is missing" in str(second[-1]["content"])


def test_an_answer_that_never_fits_fails_with_what_is_wrong(api: str, serve: Any) -> None:
    server = serve("no json at all")
    error = failing(agent(api, server), schema=VERDICT)
    assert error.kind == "bad_output"
    assert "does not fit after 3 tries: it is no JSON" in error.message
    assert len(server.requests) == 3
    assert error.consumed.output_tokens == 21


def test_an_empty_answer_is_a_failure(api: str, serve: Any) -> None:
    assert failing(agent(api, serve(""))).kind == "bad_output"


def test_a_wrong_key_says_where_the_key_is(api: str, serve: Any) -> None:
    error = failing(agent(api, serve((401, {}, '{"error": {"message": "invalid x-api-key"}}'))))
    assert error.kind == "auth"
    assert "answered 401: invalid x-api-key" in error.message
    assert error.hint is not None
    assert ("KEY" in error.hint) == (api != "ollama")


@pytest.mark.parametrize("indent", [None, 2])
def test_an_error_that_comes_with_success_is_told_in_its_words(
    api: str, serve: Any, indent: int | None
) -> None:
    if api == "ollama":
        indent = None  # its streams are lines of JSON
    said = {"error": {"type": "insufficient_quota", "message": "the credit is used up"}}
    error = failing(agent(api, serve((200, {}, json.dumps(said, indent=indent)))))
    assert (error.kind, "the credit is used up" in error.message) == ("unavailable", True)


def test_an_answer_that_is_no_stream_is_said_to_be_none(api: str, serve: Any) -> None:
    error = failing(agent(api, serve((200, {}, '{"choices": []}'))))
    assert error.kind in {"bad_output", "cut_off"}
    assert ("not as a stream" in error.message) == (api != "ollama")


@pytest.mark.parametrize("status", [302, 307])
def test_a_redirect_is_not_followed(api: str, serve: Any, status: int) -> None:
    server = serve((status, {"location": "http://127.0.0.1:1/"}, ""))
    error = failing(agent(api, server))
    assert error.hint == "the answer is a redirect: put the new address into the `url` of the agent"
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "17"}, 17.0),
        (
            {
                "Retry-After": "Wed, 21 Oct 2026 07:28:30 GMT",
                "Date": "Wed, 21 Oct 2026 07:28:00 GMT",
            },
            30.0,
        ),
        ({}, None),
    ],
)
def test_a_rate_limit_tells_how_long_to_wait(
    api: str, serve: Any, headers: dict[str, str], seconds: float | None
) -> None:
    error = failing(agent(api, serve((429, headers, '{"error": {"message": "slow down"}}'))))
    assert error.kind == "rate_limit"
    if "Date" not in headers:  # the test server adds a date of its own before ours
        assert error.retry_after_s == seconds


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "bad_request"), (404, "not_found"), (500, "unavailable"), (529, "unavailable")],
)
def test_other_refusals_have_their_kinds(api: str, serve: Any, status: int, kind: str) -> None:
    error = failing(agent(api, serve((status, {}, "<html>what happened</html>"))))
    assert error.kind == kind
    assert f"answered {status}: <html>what happened</html>" in error.message


@pytest.mark.parametrize(
    ("status", "said", "kind", "hint"),
    [
        (400, "prompt is too long: 210000 tokens > 200000 maximum", "limit", "give the agent less"),
        (400, "This model's maximum context length is 8192 tokens", "limit", "give the agent less"),
        (400, "the request exceeds the available context size", "limit", "give the agent less"),
        (400, "Your credit balance is too low", "unavailable", "no credit left"),
        (402, "Insufficient Balance", "unavailable", "no credit left"),
        (498, "flex tier capacity exceeded", "rate_limit", None),
    ],
)
def test_what_the_words_of_a_refusal_mean(
    api: str, serve: Any, status: int, said: str, kind: str, hint: str | None
) -> None:
    error = failing(agent(api, serve((status, {}, f'{{"error": {{"message": "{said}"}}}}'))))
    assert error.kind == kind
    assert said in error.message
    assert (hint or "") in (error.hint or "")


def test_a_password_in_the_address_is_not_shown(serve: Any) -> None:
    server = serve("hi")
    server.close()
    found = agent("openai", server)
    url = server.url.replace("://", "://ada:planted-password@")
    error = failing(ApiAgent(replace(found.config, url=url), ""))
    assert "planted-password" not in f"{error.message} {error.hint}"


def test_an_error_in_the_middle_of_a_stream_is_reported(api: str, serve: Any) -> None:
    error = failing(agent(api, serve("error")))
    assert error.kind == "unavailable"
    assert "verloaded" in error.message or "has stopped" in error.message


def test_a_stream_that_breaks_off_is_no_answer(api: str, serve: Any) -> None:
    assert failing(agent(api, serve("cut"))).kind in {"cut_off", "bad_output"}


def test_malformed_data_is_reported(api: str, serve: Any) -> None:
    error = failing(agent(api, serve("malformed")))
    assert error.kind == "bad_output"
    assert "no JSON" in error.message


def test_a_server_that_hangs_times_out(api: str, serve: Any) -> None:
    error = failing(agent(api, serve("hang"), timeout_s=0.5))
    assert error.kind == "timeout"


def test_the_step_s_own_timeout_is_obeyed(api: str, serve: Any) -> None:
    began = time.monotonic()
    assert failing(agent(api, serve("hang")), timeout_s=0.3).kind == "timeout"
    assert time.monotonic() - began < 5


def test_nobody_at_the_address_is_unavailable(api: str, serve: Any) -> None:
    server = serve("hi")
    found = agent(api, server)
    server.close()
    error = failing(found)
    assert error.kind == "unavailable"
    assert "cannot be reached" in error.message


def test_cancelling_closes_the_connection_at_once(api: str, serve: Any) -> None:
    found = agent(api, serve("hang"))

    async def cancel_soon() -> float:
        task = asyncio.ensure_future(found.perform(Task("x"), lambda _: None))
        await asyncio.sleep(0.2)
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - began

    assert asyncio.run(cancel_soon()) < 1


@pytest.mark.parametrize(
    ("price", "cost"),
    [
        (Price(3, 15, 0.3), 10 * 3e-6 + 5 * 0.3e-6 + 7 * 15e-6),
        (Price(3, None), None),
        (Price(), None),
    ],
)
def test_an_unknown_price_is_never_nought(price: Price, cost: float | None) -> None:
    found = price.cost(Consumed(15, 5, 7))
    assert found == (pytest.approx(cost) if cost is not None else None)
