"""Secrets from environment variables, and the masking of their values in all that is written.

A value is hidden in every form it is likely to appear in: as it is, line by line, as base64 in each
of the three alignments it can have inside a longer text (`Authorization: Basic …`) and in the lines
that programs break it into, URL-encoded and JSON-escaped. All occurrences are found first, also
overlapping ones, and then replaced together, so that hiding one never leaves a piece of another. Time
is linear in the text for each form.

Not covered: a program that encodes a secret in another way, or prints it in pieces with something
between. Masking is a net under the rope; the rope is that a secret reaches only what asks for it.
"""

from __future__ import annotations

import base64
import json
import re
import string
from bisect import bisect_right
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote, quote_plus

from aiworkflow.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aiworkflow.bundle.workflow import Json

MASK = "***"
SHORTEST = 4  # hiding shorter ones would hide half of all text, and they are no secrets
_SHORTEST_LINE = 8  # of a secret with several lines; `}` alone is none
_SHORTEST_CUT = 5  # fewer characters of a secret say little, and words end with them by chance
_PROBE = 8
_BROKEN_LINE = (
    40  # programs break base64 after 64 or 76 characters, of which a prompt may take some
)
_BASE64 = string.ascii_letters + string.digits + "+/-_="


class SecretMissing(RefusedError):
    """A step asks for a secret that is not set."""

    code = "secret-missing"

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"secret `{name}` is not set",
            hint=f"set the environment variable `{name}` where aiworkflow runs",
        )


class SecretTooShort(RefusedError):
    """A value is too short to be hidden where it appears."""

    code = "secret-too-short"

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"secret `{name}` has fewer than {SHORTEST} characters, and so cannot be kept hidden",
            hint=f"set `{name}` to the whole secret, or declare it under `env` if it is none",
        )


class Masks(Protocol):
    """What hides secrets."""

    def mask(self, text: str) -> str:
        """`text` with every secret in it replaced."""
        ...


class EnvironmentSecrets:
    """Secrets are the environment variables of their names. Only those handed out are masked."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._names: set[str] = set()
        self._forms: dict[str, int] = {}  # every form of every value → how far repetitions can be
        self._foldable: set[str] = set()  # those that may be broken into lines: base64

    def get(self, name: str) -> str:
        """The value; from now on it is masked.

        Raises:
            SecretMissing: it is not set, or empty.
            SecretTooShort: it cannot be masked.
        """
        value = self._environ.get(name, "")
        if not value.strip():
            raise SecretMissing(name)
        if len(value.strip()) < SHORTEST:
            raise SecretTooShort(name)
        if name not in self._names:
            self._names.add(name)
            self.note(value)
        return value

    @property
    def has_any(self) -> bool:
        """Whether there is anything to mask."""
        return bool(self._forms)

    def note(self, value: str) -> None:
        """Mask a value from now on that no variable holds; one that is too short cannot be."""
        if len(value.strip()) >= SHORTEST:
            forms, encoded = _forms(value)
            for form in forms:
                self._forms.setdefault(form, _period(form))
            self._foldable |= encoded

    def mask(self, text: str) -> str:
        """`text` with every secret handed out so far replaced by `***`."""
        found = self.found(text)
        if not found:
            return text
        pieces = []
        done = 0
        for start, end in found:
            pieces += [text[done:start], MASK]
            done = end
        pieces.append(text[done:])
        return "".join(pieces)

    def mask_cut(self, text: str) -> str:
        """The same for a text that may have been cut, and that in the middle of a secret."""
        masked = self.mask(text)
        kept = masked.rstrip("…")
        begun = self.unfinished(kept)
        if begun < _SHORTEST_CUT:
            return masked
        return kept[:-begun] + MASK + masked[len(kept) :]

    def found(self, text: str) -> list[tuple[int, int]]:
        """Where secrets are in `text`: ranges in order that do not overlap."""
        ranges: list[tuple[int, int]] = []
        for form, period in self._forms.items():
            at = text.find(form)
            while at >= 0:
                ranges.append((at, at + len(form)))
                # the next one can begin no nearer than the form repeats itself
                at = text.find(form, at + period)
        if self._foldable and "\n" in text:
            ranges += self._folded(text)
        if len(ranges) < 2:
            return ranges
        return _merged(ranges)

    def unfinished(self, text: str, *, before: int = 0) -> int:
        """How many characters at the end of `text` may be the beginning of a secret.

        Args:
            before: so many characters of base64 stood before `text` in its first line.
        """
        longest = 0
        for form in self._forms:
            longest = max(longest, _begun(form, text, longest))
        return max(longest, self._unfinished_lines(text, before=before))

    def _folded(self, text: str) -> Iterable[tuple[int, int]]:
        """Where base64 of secrets is in `text` that lines have broken."""
        joined = _joined(text)
        breaks: list[int] = []
        for form in self._foldable:
            at = joined.find(form)
            if at >= 0 and not breaks:
                breaks = _breaks(text)
            while at >= 0:
                start, last = _place(at, breaks), _place(at + len(form) - 1, breaks)
                yield start, last + 1
                at = joined.find(form, at + self._forms[form])

    def _unfinished_lines(self, text: str, *, before: int) -> int:
        """As `unfinished`, of base64 that goes on from one line to the next."""
        most = 2 * max(map(len, self._foldable), default=0)
        start = _lines_of_base64(text, most, before=before) if most else len(text)
        if start == len(text):
            return 0
        tail = text[start:]
        joined = _joined(tail)
        begun = 0
        for form in self._foldable:
            begun = max(begun, _begun(form, joined, begun))
        if not begun:
            return 0
        return len(tail) - _place(len(joined) - begun, _breaks(tail))


class MaskedStream:
    """Masks text that comes in pieces: holds back what may be the beginning of a secret."""

    def __init__(self, secrets: Masks) -> None:
        self._secrets = secrets
        self._kept = ""
        self._before = 0  # so many characters of base64 stood before it in its line
        self._hidden = (
            0  # so many characters of what is kept belong to a secret already shown as ***
        )

    def feed(self, text: str) -> str:
        """Take the next piece; what can be shown now."""
        if not isinstance(self._secrets, EnvironmentSecrets):
            # other sources of secrets cannot say what may be the beginning of one: whole lines, then
            self._kept += text
            end = self._kept.rfind("\n") + 1
            shown, self._kept = self._kept[:end], self._kept[end:]
            return self._secrets.mask(shown)
        self._kept += text
        hold = self._secrets.unfinished(self._kept, before=self._before)
        end = len(self._kept) - hold
        begin = self._kept.rfind("\n", 0, end) + 1
        line = self._kept[begin:end]
        run = len(line) - len(line.rstrip(_BASE64))
        self._before = run + (self._before if begin == 0 and run == end else 0)
        return self._release(self._secrets, hold)

    def end(self) -> str:
        """Nothing more comes; what was held back."""
        if not isinstance(self._secrets, EnvironmentSecrets):
            shown, self._kept = self._kept, ""
            return self._secrets.mask(shown)
        return self._release(self._secrets, 0)

    def _release(self, secrets: EnvironmentSecrets, hold: int) -> str:
        kept = self._kept
        cut = len(kept) - hold
        found = secrets.found(kept)
        if self._hidden:
            found = _merged([(0, self._hidden), *found])
        pieces: list[str] = []
        done = 0
        hidden = 0
        for start, end in found:
            if start >= cut:
                break
            pieces.append(kept[done:start])
            if start > 0 or not self._hidden:
                pieces.append(MASK)
            done = end
            hidden = max(0, end - cut)
        if done < cut:
            pieces.append(kept[done:cut])
        if cut == 0:
            hidden = self._hidden
        self._kept, self._hidden = kept[cut:], hidden
        return "".join(pieces)


def mask_json(secrets: Masks, value: Json) -> Json:
    """A value with every text in it masked, keys too; a number that is a secret becomes text."""
    if isinstance(secrets, EnvironmentSecrets) and not secrets.has_any:
        return value
    if isinstance(value, str):
        return secrets.mask(value)
    if isinstance(value, list):
        return [mask_json(secrets, element) for element in value]
    if isinstance(value, dict):
        return {secrets.mask(key): mask_json(secrets, inner) for key, inner in value.items()}
    if isinstance(value, int | float) and not isinstance(value, bool):
        return MASK if secrets.mask(str(value)) == MASK else value
    return value


def _joined(text: str) -> str:
    return text.replace("\n", "").replace("\r", "")


def _place(at: int, breaks: Sequence[int]) -> int:
    """Where a character stands in a text, by its place when the line breaks are taken out."""
    # of the breaks, those before it: the one numbered n has n of them before it
    return at + bisect_right(range(len(breaks)), at, key=lambda number: breaks[number] - number)


def _breaks(text: str) -> list[int]:
    return [found.start() for found in re.finditer(r"[\r\n]", text)]


def _lines_of_base64(text: str, most: int, *, before: int) -> int:
    """Where the lines of base64 begin with which `text` ends, its last one not whole.

    Where it does not end so: the end of `text`.
    """
    last = text.rfind("\n") + 1
    if last == 0 or text[last:].strip(_BASE64):
        return len(text)
    start = last
    while start > 0 and len(text) - start < most:
        begin = text.rfind("\n", 0, start - 1) + 1
        line = text[begin:start].rstrip("\r\n")
        run = len(line) - len(line.rstrip(_BASE64))
        is_whole = run == len(line)
        if run + (before if begin == 0 and is_whole else 0) < _BROKEN_LINE:
            break
        start = begin + len(line) - run
        if not is_whole:
            break
    return start if start < last else len(text)


def _forms(value: str) -> tuple[set[str], set[str]]:
    """Every form a value is hidden in, and those of them that are base64."""
    plain = {value, value.strip()}
    if "\n" in value:
        plain |= {
            line.strip() for line in value.splitlines() if len(line.strip()) >= _SHORTEST_LINE
        }
    found = set(plain)
    base64_: set[str] = set()
    for text in plain:
        found.update(_encoded(text))
        base64_.update(_in_base64(text))
    forms = {form for form in found | base64_ if len(form) >= SHORTEST}
    return forms, {form for form in base64_ if len(form) >= _PROBE}


def _in_base64(text: str) -> Iterable[str]:
    data = text.encode("utf-8", "surrogateescape")
    for wide in (base64.b64encode, base64.urlsafe_b64encode):
        yield wide(data).decode().rstrip("=")
        for before in range(3):
            # of a longer text's base64, the characters that this text alone decides
            whole = wide(bytes(before) + data).decode()
            first = -(-before * 8 // 6)
            last = (before + len(data)) * 8 // 6
            yield whole[first:last]


def _encoded(text: str) -> Iterable[str]:
    data = text.encode("utf-8", "surrogateescape")
    for url in {quote(data, safe=""), quote(data), quote_plus(data)}:
        yield url
        yield _lower_escapes(url)
    for ascii_only in (True, False):
        escaped = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        yield escaped
        yield escaped.replace("/", "\\/")
        yield json.dumps(escaped, ensure_ascii=ascii_only)[1:-1]  # JSON within JSON


def _lower_escapes(url: str) -> str:
    pieces = url.split("%")
    return "%".join([pieces[0], *(piece[:2].lower() + piece[2:] for piece in pieces[1:])])


def _merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges in order, those that overlap as one."""
    ranges.sort()
    merged = [ranges[0]]
    for start, end in ranges[1:]:
        if start >= merged[-1][1]:
            merged.append((start, end))
        elif end > merged[-1][1]:
            merged[-1] = (merged[-1][0], end)
    return merged


def _period(form: str) -> int:
    """The least distance at which a text can overlap itself; its length where it cannot.

    Knuth, Morris and Pratt's failure function.
    """
    fail = [0] * len(form)
    matched = 0
    for at in range(1, len(form)):
        while matched and form[at] != form[matched]:
            matched = fail[matched - 1]
        if form[at] == form[matched]:
            matched += 1
        fail[at] = matched
    return len(form) - fail[-1]


def _begun(form: str, text: str, more_than: int) -> int:
    """Length of the longest end of `text` that is a beginning of `form` but not all of it.

    Ends not longer than `more_than` are of no interest; 0 when there is none.
    """
    most = min(len(form) - 1, len(text))
    probe = form[:_PROBE]
    if most >= len(probe):
        at = text.find(probe, len(text) - most)
        while at >= 0:
            if len(text) - at <= more_than:
                return 0
            if form.startswith(text[at:]):
                return len(text) - at
            at = text.find(probe, at + 1)
    for length in range(min(most, len(probe)), more_than, -1):
        if text.endswith(form[:length]):
            return length
    return 0
