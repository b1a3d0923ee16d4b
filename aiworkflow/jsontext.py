"""Compact JSON text, as events, values and plans are written: one encoder, made once.

`json.JSONEncoder.encode` makes its C encoder anew for every call, which for small values takes longer
than the encoding itself.
"""

from __future__ import annotations

import json
from json import encoder as _encoder
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def _compact() -> Callable[[object], str]:
    plain = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    make = getattr(_encoder, "c_make_encoder", None)  # not in every interpreter
    if make is None:
        return plain.encode
    chunks = make(
        None, plain.default, _encoder.encode_basestring, None, ":", ",", False, False, False
    )
    join = "".join

    def encode(value: object) -> str:
        return join(chunks(value, 0))

    return encode


compact = _compact()
"""A value as JSON without spaces, beyond ASCII as it is. Raises ValueError for NaN and infinities."""
