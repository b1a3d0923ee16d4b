"""Agents that are programs, run without a terminal: one adapter, driven by profiles that are data."""

from aiworkflow.agents.cli.agent import CliAgent

__all__ = ["CliAgent"]
