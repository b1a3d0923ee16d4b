"""Hands runs that can go on to those who work: in one process, or over many machines."""

from aiworkflow.runtime.dispatch.contract import Dispatcher, DriveOne, Outcome
from aiworkflow.runtime.dispatch.embedded import EmbeddedDispatcher
from aiworkflow.runtime.dispatch.limits import Gate

__all__ = ["Dispatcher", "DriveOne", "EmbeddedDispatcher", "Gate", "Outcome"]
