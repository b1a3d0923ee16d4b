"""How a conversation with tools stands on the wire, for each protocol."""

from __future__ import annotations

import re
from typing import Any

import pytest

from aiworkflow.agents import Attachment, Message, ToolCall, ToolResult, ToolSpec
from aiworkflow.agents.api.turn import believed, most
from aiworkflow.agents.api.wire import Wire
from aiworkflow.agents.contract import Consumed
from aiworkflow.agents.usage import UntrueError
from tests.contract.agents.model_server import Reply
from tests.contract.agents.suite import NOTE, READ, VERDICT, Toolbox
from tests.contract.agents.test_api import agent, failing, perform

PIXEL = Attachment("dot.png", "image/png", b"\x89PNG")
CALLED = (
    Message("user", "Note milk."),
    Message("assistant", "", (ToolCall("id with spaces", "notes.add", {"text": "milk"}),)),
    Message("tool", results={"id with spaces": ToolResult("noted")}),
    Message("assistant", "Done."),
)


def body(server: Any, number: int = -1) -> Any:
    return server.requests[number]["body"]


def test_calls_and_results_have_the_form_of_the_protocol(api: str, serve: Any) -> None:
    asked = Reply(calls=[("notes_add", {"text": "milk"}), ("mcp_files_read", {"path": "a"})])
    server = serve(asked, "done")
    perform(agent(api, server), tools=(NOTE, READ), call=Toolbox().call)
    first, second = body(server, 0), body(server, 1)
    if api == "anthropic":
        assert [one["name"] for one in first["tools"]] == ["notes_add", "mcp_files_read"]
        assert first["tools"][0]["input_schema"]["required"] == ["text"]
        called, told = second["messages"][1:]
        assert [one["type"] for one in called["content"]] == ["tool_use", "tool_use"]
        assert called["content"][0]["input"] == {"text": "milk"}
        assert told["role"] == "user"
        ids = [one["tool_use_id"] for one in told["content"]]
        assert ids == [one["id"] for one in called["content"]] == asked.ids
    elif api == "openai":
        assert first["tools"][1]["function"]["name"] == "mcp_files_read"
        called, *told = second["messages"][1:]
        assert called["tool_calls"][0]["function"] == {
            "name": "notes_add",
            "arguments": '{"text": "milk"}',
        }
        assert [one["tool_call_id"] for one in told] == asked.ids
        assert [one["role"] for one in told] == ["tool", "tool"]
    elif api == "responses":
        assert first["tools"][0]["type"] == "function"
        assert first["tools"][0]["name"] == "notes_add"
        kinds = [one.get("type") for one in second["input"][1:]]
        assert kinds == ["function_call"] * 2 + ["function_call_output"] * 2
        assert [one["call_id"] for one in second["input"][1:3]] == asked.ids
        assert [one["call_id"] for one in second["input"][3:]] == asked.ids
    else:
        assert first["tools"][0]["function"]["name"] == "notes_add"
        called, *told = second["messages"][1:]
        assert called["tool_calls"][0]["function"]["arguments"] == {"text": "milk"}
        assert [one["tool_name"] for one in told] == ["notes_add", "mcp_files_read"]


def test_an_object_beside_tools_is_asked_for_as_the_protocol_can(api: str, serve: Any) -> None:
    good = {"score": 7, "verdict": "good"}
    server = serve(Reply("I think it is good."), good)
    answer, _ = perform(agent(api, server), schema=VERDICT, tools=(NOTE,), call=Toolbox().call)
    assert answer.value == good
    first, again = body(server, 0), body(server, 1)
    if api == "anthropic":
        assert first["tool_choice"] == {"type": "auto"}
        assert again["tool_choice"] == {"type": "tool", "name": "answer"}
    elif api == "openai":
        assert first["response_format"]["type"] == "json_schema"
    elif api == "responses":
        assert first["text"]["format"]["type"] == "json_schema"
    else:
        assert "format" not in first, "it would keep the model from calling anything"
        assert "tools" not in again
        assert again["format"]["type"] == "object"


def test_a_server_like_openai_s_gets_no_schema_beside_tools(serve: Any) -> None:
    good = {"score": 7, "verdict": "good"}
    server = serve("Hm.", good)
    found = agent("openai", server, provider="google")
    assert perform(found, schema=VERDICT, tools=(NOTE,))[0].value == good
    assert "response_format" not in body(server, 0)
    assert body(server, 0)["max_tokens"] == 4096
    assert body(server, 1)["tool_choice"] == "none"
    assert body(server, 1)["response_format"]["type"] == "json_schema"


@pytest.mark.parametrize(
    ("provider", "asked"),
    [
        ("openai", "json_schema"),
        ("mistral", "json_schema"),
        ("vllm", "json_schema"),
        ("", "json_schema"),
        ("deepseek", "json_object"),
        ("groq", None),  # most of its models refuse any form, and none goes with a stream
    ],
)
def test_an_object_is_asked_for_as_the_provider_can(
    serve: Any, provider: str, asked: str | None
) -> None:
    server = serve({"score": 7, "verdict": "good"})
    assert perform(agent("openai", server, provider=provider), schema=VERDICT)[0].value
    assert body(server).get("response_format", {}).get("type") == asked
    assert '"verdict"' in body(server)["messages"][0]["content"], "it is said in words as well"


def test_mistral_is_not_asked_for_usage(serve: Any) -> None:
    server = serve("hi")
    assert perform(agent("openai", server, provider="mistral"))[0].consumed.output_tokens == 7
    assert "stream_options" not in body(server)


def test_signatures_come_back_with_their_calls(serve: Any) -> None:
    sign = {"google": {"thought_signature": "c2lnbmVk"}}
    server = serve(Reply(calls=[("notes_add", {"text": "x"})], signature=sign), "done")
    perform(agent("openai", server, provider="google"), tools=(NOTE,), call=Toolbox().call)
    (call,) = body(server)["messages"][1]["tool_calls"]
    assert call["extra_content"] == sign


@pytest.mark.parametrize(("provider", "sent"), [("deepseek", "Hm, milk."), ("mistral", None)])
def test_thoughts_come_back_where_they_are_asked_for(
    serve: Any, provider: str, sent: str | None
) -> None:
    server = serve(Reply(calls=[("notes_add", {"text": "x"})], thoughts="Hm, milk."), "done")
    answer, _ = perform(
        agent("openai", server, provider=provider), tools=(NOTE,), call=Toolbox().call
    )
    assert answer.text == "done"
    assert body(server)["messages"][1].get("reasoning_content") == sent


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ('[{"error": {"code": 400, "message": "no signature"}}]', "answered 400: no signature"),
        (
            '{"object": "error", "message": {"detail": [{"loc": ["body", "n"], "msg": "Extra"}]}}',
            "answered 400: ['body', 'n']: Extra",
        ),
        ('{"error": "model not found"}', "answered 400: model not found"),
        ('{"error": {"type": "overloaded_error"}}', "answered 400: overloaded_error"),
        ("[" * 100_000, "answered 400: [[["),
        ("", "answered 400"),
    ],
)
def test_what_a_refusal_says_is_shown(serve: Any, said: str, shown: str) -> None:
    error = failing(agent("openai", serve((400, {}, said))))
    assert shown in error.message
    assert len(error.message) < 400


def test_an_answer_given_beside_calls_waits_for_what_they_come_to(serve: Any) -> None:
    both = Reply(calls=[("answer", {"score": 1}), ("notes_add", {"text": "x"})])
    server = serve(both, {"score": 7, "verdict": "good"})
    box = Toolbox()
    answer, _ = perform(agent("anthropic", server), schema=VERDICT, tools=(NOTE,), call=box.call)
    assert answer.value == {"score": 7, "verdict": "good"}
    assert box.made == [("notes.add", {"text": "x"})]


def test_arguments_that_are_no_json_are_told_to_the_model(api: str, serve: Any) -> None:
    server = serve(Reply(calls=[("notes_add", '{"text": ')]), "sorry")
    box = Toolbox()
    answer, _ = perform(agent(api, server), tools=(NOTE,), call=box.call)
    assert answer.text == "sorry"
    assert box.made == []
    assert "not one JSON object" in str(body(server)) or api == "ollama"


def test_an_earlier_conversation_with_tools_goes_on_without_them(api: str, serve: Any) -> None:
    server = serve("yes")
    perform(agent(api, server), prompt="Did you?", history=CALLED)
    said = str(body(server))
    assert "tool_use" not in said
    assert "tool_calls" not in said
    assert "called notes.add with" in said
    assert said.index("noted") < said.index("Did you?")


def test_ids_of_another_agent_are_made_to_fit(api: str, serve: Any) -> None:
    server = serve("yes")
    perform(agent(api, server), prompt="Did you?", history=CALLED, tools=(NOTE,))
    assert "id with spaces" not in str(body(server))


@pytest.mark.parametrize(
    "names",
    [
        ("a.b", "a_b", "a/b"),
        ("answer", "x" * 100, "x" * 101),
        ("mcp:files/read", "mcp.files.read", "ünï"),
    ],
)
def test_names_on_the_wire_are_apart_and_lead_back(names: tuple[str, ...]) -> None:
    wire = Wire([ToolSpec(name, "", {}) for name in names])
    sent = [wire.of(name) for name in names]
    assert len(set(sent)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", one) for one in sent)
    assert "answer" not in sent
    assert tuple(wire.name(one) for one in sent) == names


def test_mistral_takes_ids_of_nine_signs_only() -> None:
    wire = Wire((NOTE,), "mistral")
    call = wire.message(Message("assistant", "", (ToolCall("call_abc", "notes.add", {}),)))
    told = wire.message(Message("tool", results={"call_abc": ToolResult("ok")}))
    (found,) = call.calls
    assert len(found.id) == 9
    assert list(told.results) == [found.id]


def test_images_stand_in_the_form_of_the_protocol(api: str, serve: Any) -> None:
    server = serve("a dot")
    perform(agent(api, server), prompt="What is it?", files=(PIXEL,))
    data = "iVBORw=="
    said = body(server)
    if api == "anthropic":
        image, text = said["messages"][0]["content"]
        assert image["source"] == {"type": "base64", "media_type": "image/png", "data": data}
        assert text["text"] == "What is it?"
    elif api == "openai":
        _, image = said["messages"][0]["content"]
        assert image == {
            "type": "image_url",
            "image_url": {"url": f"data:image/png;base64,{data}"},
        }
    elif api == "responses":
        _, image = said["input"][0]["content"]
        url = f"data:image/png;base64,{data}"
        assert image == {"type": "input_image", "detail": "auto", "image_url": url}
    else:
        assert said["messages"][0]["images"] == [data]


def test_what_stays_the_same_is_marked_for_the_cache(serve: Any) -> None:
    server = serve(Reply(calls=[("notes_add", {"text": "x"})]), "done")
    history = (Message("user", "Hello."), Message("assistant", "Hi."))
    perform(agent("anthropic", server), history=history, tools=(NOTE, READ), call=Toolbox().call)
    for request in server.requests:
        said = request["body"]
        assert "cache_control" not in said["tools"][0]
        assert said["tools"][-1]["cache_control"] == {"type": "ephemeral"}
        assert said["messages"][1]["content"][-1]["cache_control"] == {"type": "ephemeral"}
        assert said["messages"][-1]["content"][-1]["cache_control"] == {"type": "ephemeral"}
        assert str(said).count("cache_control") <= 4, "more are refused"


@pytest.mark.parametrize(
    ("said", "believable"),
    [
        (Consumed(10, 8, 5, 0.5, 2), Consumed(10, 8, 5, 0.5, 2)),
        (Consumed(15_000, 15_000, 6000), Consumed(12_000, 12_000, 4596)),
    ],
)
def test_usage_is_believed_as_far_as_it_can_be_true(said: Consumed, believable: Consumed) -> None:
    assert believed(said, most(1000, 500, 4096)) == believable


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (Consumed(10, 20, 5), "20 tokens of an input of 10 were cached"),
        (Consumed(10, 8, 5, None, 7), "15 tokens of an input of 10 were cached"),
        (Consumed(10, 0, 50_000), "50,000 tokens of output, where 4,596 is the most that can be"),
        (Consumed(130_000, 0, 1), "130,000 tokens of input, where 12,000 is the most that can be"),
        (Consumed(10, 0, 1, -0.5), "`cost` is -0.5"),
        (Consumed(10, 0, 1, 1e9), "`cost` is 1000000000.0"),
    ],
)
def test_usage_that_cannot_be_true_is_not_believed(said: Consumed, why: str) -> None:
    with pytest.raises(UntrueError, match=re.escape(why)):
        believed(said, most(1000, 500, 4096))


def test_a_refusal_with_an_untrue_usage_stays_a_refusal(serve: Any) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 10**7}
    server = serve(Reply("", stop="content_filter", usage=usage))
    error = failing(agent("openai", server))
    assert error.kind == "refused"
    assert 4096 < error.consumed.output_tokens < 20_000
