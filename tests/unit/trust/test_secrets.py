"""A secret is hidden in every form it takes, and in whatever pieces it arrives."""

from __future__ import annotations

import base64
import json
import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiworkflow.errors import RefusedError
from aiworkflow.trust.secrets import EnvironmentSecrets, MaskedStream, mask_json

TOKEN = 'ghp_a/b+c="d"\\é~x y'


def secrets(**values: str) -> EnvironmentSecrets:
    found = EnvironmentSecrets(values)
    for name in values:
        found.get(name)
    return found


def test_only_what_was_handed_out_is_hidden():
    found = EnvironmentSecrets({"ONE": "first-secret", "TWO": "second-secret"})
    assert found.get("ONE") == "first-secret"
    assert found.mask("first-secret second-secret") == "*** second-secret"


@pytest.mark.parametrize(
    "form",
    [
        TOKEN,
        quote(TOKEN),
        quote(TOKEN, safe=""),
        quote_plus(TOKEN),
        quote(TOKEN, safe="").lower(),
        json.dumps(TOKEN),
        json.dumps(TOKEN, ensure_ascii=False),
        base64.b64encode(TOKEN.encode()).decode(),
        base64.urlsafe_b64encode(TOKEN.encode()).decode(),
    ],
)
def test_every_form_is_hidden(form):
    shown = secrets(TOKEN=TOKEN).mask(f"before {form} after")
    assert "***" in shown
    for part in (TOKEN[:8], form.strip('"')[:10], form.strip('"')[-8:]):
        assert part not in shown
    assert shown.startswith("before ")
    assert shown.endswith(" after")


def test_json_within_json_is_hidden():
    shown = secrets(TOKEN=TOKEN).mask(json.dumps({"inner": json.dumps({"token": TOKEN})}))
    assert shown == r'{"inner": "{\"token\": \"***\"}"}'


@pytest.mark.parametrize("before", ["", "u", "us", "user:", "x-token:"])
@pytest.mark.parametrize("after", ["", "1", "12", " and more"])
def test_base64_of_a_text_around_it_is_hidden(before, after):
    whole = base64.b64encode(f"{before}hunter2-hunter3{after}".encode()).decode()
    shown = secrets(PASSWORD="hunter2-hunter3").mask(f"Authorization: Basic {whole}")
    assert "***" in shown
    kept = shown.removeprefix("Authorization: Basic ")
    assert len(kept.replace("***", "")) <= len(whole) - 18


def test_each_line_of_a_secret_with_several_lines_is_hidden():
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END KEY-----\n"
    shown = secrets(KEY=key).mask("log: MIIEvQIBADANBgkq\nlog: hkiG9w0BAQEFAASC\n")
    assert shown == "log: ***\nlog: ***\n"


def test_the_end_of_a_line_around_a_secret_does_not_let_it_through():
    assert secrets(KEY="token-with-newline\n").mask("x token-with-newline y") == "x *** y"


def test_secrets_within_secrets_and_across_each_other_leave_nothing():
    found = secrets(A="abcdef", B="abcdefghij", C="ijklmn")
    assert found.mask("abcdefghijklmn abcdef ijklmn") == "*** *** ***"


def test_a_secret_that_repeats_itself():
    assert secrets(A="abab").mask("xabababay") == "x***ay"
    assert secrets(A="aaaa").mask("aaaaaaa") == "***"


@pytest.mark.parametrize("value", [None, "", "  \n"])
def test_one_that_is_not_set_says_how_to_set_it(value):
    found = EnvironmentSecrets({} if value is None else {"GITHUB_TOKEN": value})
    with pytest.raises(RefusedError, match="secret `GITHUB_TOKEN` is not set") as refused:
        found.get("GITHUB_TOKEN")
    assert "GITHUB_TOKEN" in str(refused.value.hint)


def test_one_too_short_to_hide_is_refused():
    with pytest.raises(RefusedError, match="fewer than 4 characters"):
        EnvironmentSecrets({"PIN": "123"}).get("PIN")
    assert EnvironmentSecrets({"PIN": "1234"}).get("PIN") == "1234"


def test_values_are_masked_to_their_depth():
    found = secrets(TOKEN="token-1234", PIN="987654")
    value = {"a token-1234": [1, True, None, "x token-1234", {"pin": 987654}], "n": 1987654}
    assert mask_json(found, value) == {
        "a ***": [1, True, None, "x ***", {"pin": "***"}],
        "n": 1987654,
    }


def streamed(found: EnvironmentSecrets, pieces: list[str]) -> list[str]:
    stream = MaskedStream(found)
    return [*(stream.feed(piece) for piece in pieces), stream.end()]


def test_a_secret_split_between_pieces_is_hidden_and_nothing_else_is_held_back():
    found = secrets(TOKEN="token-1234")
    assert streamed(found, ["a tok", "en-12", "34 b\n", "next\n", "tok"]) == [
        "a ", "", "*** b\n", "next\n", "", "tok",
    ]  # fmt: skip


def test_a_secret_that_ends_where_another_begins_is_hidden_whole():
    found = secrets(A="abcd", B="cdefgh")
    assert "".join(streamed(found, ["xxabcd", "yy"])) == "xx***yy"
    assert "".join(streamed(found, ["xxabcd", "efgh", "yy"])) == "xx***yy"


@given(
    st.lists(st.text("ab", min_size=4, max_size=14), min_size=1, max_size=4),
    st.lists(st.text("abc", max_size=12), max_size=12),
)
def test_in_pieces_or_whole_is_the_same(values, pieces):
    found = secrets(**{f"S{n}": value for n, value in enumerate(values)})
    whole = found.mask("".join(pieces))
    assert "".join(streamed(found, pieces)) == whole
    assert not any(value in whole for value in values)


@given(st.text(min_size=4).filter(lambda text: len(text.strip()) >= 4), st.text(), st.text())
def test_no_secret_is_left_in_any_text(value, before, after):
    found = secrets(TOKEN=value)
    shown = found.mask(before + value + after)
    assert "***" in shown
    assert value not in shown.replace("***", "\x00") or "***" in value


def test_long_texts_take_little_time():
    found = secrets(
        KEY="-----BEGIN-----\n" + "\n".join("k" * 64 for _ in range(30)), BAD="a" * 200, PIN="abab"
    )
    text = "a" * 500_000 + "k" * 500_000 + "ab" * 250_000
    began = time.process_time()
    assert len(found.mask(text)) < 100
    stream = MaskedStream(found)
    for at in range(0, len(text), 4096):
        stream.feed(text[at : at + 4096])
    assert time.process_time() - began < 10  # of the processor: others may be busy too


def test_other_sources_of_secrets_are_masked_line_by_line():
    class Upper:
        def mask(self, text: str) -> str:
            return text.replace("hidden", "***")

    stream = MaskedStream(Upper())
    assert stream.feed("a hid") == ""
    assert stream.feed("den b\nc") == "a *** b\n"
    assert stream.end() == "c"


@pytest.mark.parametrize("end", ["", "…"])
def test_a_secret_that_was_cut_is_hidden_as_far_as_it_goes(end):
    secrets = EnvironmentSecrets({"KEY": "sk-very-secret-1"})
    secrets.get("KEY")
    assert secrets.mask_cut("no such key: sk-very-se" + end) == "no such key: ***" + end
    assert secrets.mask_cut("sk-very-secret-1 is no key" + end) == "*** is no key" + end
    assert secrets.mask_cut("this is sk" + end) == "this is sk" + end


LONG = (
    "github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefghi"
)


def broken(text: str, width: int, end: str) -> str:
    whole = base64.b64encode(text.encode()).decode()
    return "".join(whole[at : at + width] + end for at in range(0, len(whole), width))


@pytest.mark.parametrize("width", [8, 60, 64, 76])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("before", ["", "x", "xy", "x-access-token:", "y" * 50])
def test_base64_is_found_in_the_lines_that_programs_break_it_into(
    width: int, end: str, before: str
) -> None:
    shown = broken(f"{before}{LONG}\n", width, end)
    masked = secrets(TOKEN=LONG).mask(f"said:\n{shown}after")
    assert masked.startswith("said:\n")
    assert masked.endswith(f"{end}after")
    left = "".join(masked.removeprefix("said:\n").removesuffix("after").split())
    assert len(left) < len(base64.b64encode(before.encode())) + len("***") + 6


@given(
    st.sampled_from([60, 64, 76]),
    st.text("xy:", max_size=70),
    st.text("ab c\n", max_size=50),
    st.lists(st.integers(1, 90), max_size=8),
)
def test_base64_in_lines_is_hidden_however_it_arrives(
    width: int, before: str, around: str, cuts: list[int]
) -> None:
    found = secrets(TOKEN=LONG)
    text = f"{around}\n{broken(before + LONG, width, chr(10))}{around}"
    stream, shown, rest = MaskedStream(found), "", text
    for cut in cuts:
        shown += stream.feed(rest[:cut])
        rest = rest[cut:]
    for line in rest.splitlines(keepends=True):
        shown += stream.feed(line)
    shown += stream.end()
    assert shown == found.mask(text)


def test_lines_that_are_no_base64_are_not_held_back() -> None:
    stream = MaskedStream(secrets(TOKEN=LONG))
    for line in ("a test passes: " + "Z" * 60 + " Z\n", "Z\n", "Z2l0aHVi\n"):
        assert stream.feed(line) == line
