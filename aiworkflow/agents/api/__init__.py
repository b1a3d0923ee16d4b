"""Models over HTTP APIs: Anthropic's, OpenAI's and those like it, Ollama's."""

from aiworkflow.agents.api.agent import ApiAgent

__all__ = ["ApiAgent"]
