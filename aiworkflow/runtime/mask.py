"""What a run's attempts may know of secrets, and how everything they write is masked."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from aiworkflow.errors import AIWorkflowError
from aiworkflow.trust.secrets import EnvironmentSecrets, MaskedStream, mask_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiworkflow.engine.carried import Json
    from aiworkflow.steps.contract import Secrets


class Masking:
    """Secrets of one process, and the masking of all that leaves a step."""

    def __init__(self, secrets: Secrets) -> None:
        self.secrets = secrets

    def hide(self, names: Iterable[str]) -> None:
        """Mask these from now on, where they are set: a process before may have handed them out."""
        for name in names:
            with contextlib.suppress(AIWorkflowError):  # who needs it will be told
                self.secrets.get(name)

    def note(self, value: str) -> None:
        """Mask a value that a person has given."""
        if isinstance(self.secrets, EnvironmentSecrets):
            self.secrets.note(value)

    def mask(self, text: str) -> str:
        """Text with secret values replaced."""
        return self.secrets.mask(text)

    def mask_message(self, text: str) -> str:
        """The same for what somebody outside said, of which only the beginning is quoted."""
        if isinstance(self.secrets, EnvironmentSecrets):
            return self.secrets.mask_cut(text)
        return self.secrets.mask(text)

    def mask_json(self, value: Json) -> Json:
        """A value with every text in it masked."""
        return mask_json(self.secrets, value)

    def stream(self) -> MaskedStream:
        """Masks text that comes in pieces."""
        return MaskedStream(self.secrets)
