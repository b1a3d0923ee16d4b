"""The body of a message as data, read as strictly as what comes from outside is."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiworkflow.engine.carried import Json


def read_body(body: bytes) -> Json:
    """A body's data.

    Raises:
        ValueError: it is no JSON, or holds what none can hold: half characters, endless numbers.
    """
    try:
        found: Json = json.loads(
            body.decode("utf-8"), parse_constant=_no_constant, parse_float=_finite
        )
        json.dumps(found, ensure_ascii=False).encode("utf-8")
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    found = float(text)
    if math.isinf(found):
        raise ValueError(f"{text[:40]} is larger than any number")
    return found
