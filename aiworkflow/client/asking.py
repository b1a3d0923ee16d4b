"""What a client offers beside runs of bundles: one question, one piece of code, one call of a tool.

Each is a workflow of one step, and goes the way of all others: there is no second way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from aiworkflow.client.client import Client
    from aiworkflow.client.run import OnEvent, Run
    from aiworkflow.client.single import Reply
    from aiworkflow.engine.carried import Json


class Asking:
    """The part of a client that asks one thing."""

    async def chat(
        self,
        message: str,
        *,
        agent: str | None = None,
        session: str | None = None,
        on_event: OnEvent | None = None,
        **settings: Json,
    ) -> Reply:
        """Ask an agent: a workflow of one step, whose prompt is the message as it stands.

        Args:
            agent: who; None for the one that the settings name.
            session: name of a conversation that this goes on with; it is kept in the project.
            settings: of the step: `output`, `retry`, `timeout`, `budget`, …

        Raises:
            StepFailed: it did not succeed. UsageError: nothing was started.
        """
        from aiworkflow.client.single import chat

        return await chat(
            cast("Client", self),
            message,
            agent=agent,
            session=session,
            on_event=on_event,
            **settings,
        )

    async def vision(
        self,
        message: str,
        images: Sequence[str | Path],
        *,
        agent: str | None = None,
        on_event: OnEvent | None = None,
        **settings: Json,
    ) -> Reply:
        """Ask an agent about images; otherwise as `chat`.

        Args:
            images: paths of png, jpeg, gif or webp files within the project.

        Raises:
            StepFailed: it did not succeed. UsageError: nothing was started.
        """
        from aiworkflow.client.single import vision

        return await vision(
            cast("Client", self), message, images, agent=agent, on_event=on_event, **settings
        )

    async def execute(
        self,
        code: str,
        *,
        language: str = "python",
        inputs: Mapping[str, Json] | None = None,
        on_event: OnEvent | None = None,
        **settings: Json,
    ) -> Reply:
        """Run code: a workflow of one step, with the rights that its `allow` gives it.

        Args:
            inputs: what it sees as `INPUT_<NAME>` and in its context file.
            settings: of the step: `output`, `env`, `timeout`, …; `allow` of the workflow.

        Raises:
            StepFailed: it did not succeed. BundleInvalid, UsageError: nothing was started.
        """
        from aiworkflow.client.single import execute

        return await execute(
            cast("Client", self),
            code,
            language=language,
            inputs=inputs,
            on_event=on_event,
            **settings,
        )

    async def call_tool(
        self,
        tool: str,
        arguments: Mapping[str, Json] | None = None,
        *,
        texts: Mapping[str, str] | None = None,
        bundle: str | Path | None = None,
        agreed: bool = False,
    ) -> Run:
        """Call a tool: a run of one step, whose output is `output`.

        Args:
            tool: `http.get`, `mcp:server/tool`, or one of the bundle's.
            texts: arguments as text, turned into the types that the tool declares.
            bundle: with the tools and servers of this one, too.
            agreed: to a call that writes.

        Raises:
            UsageError: there is no such tool, or it does not take this.
            BundleInvalid: nothing was started.
            CallNotAgreed: it writes, and nobody agreed.
        """
        from aiworkflow.client.calling import prepared_call

        client = cast("Client", self)
        given = arguments or {}
        ready = await prepared_call(
            client.project, tool, given, texts or {}, bundle=bundle, agreed=agreed
        )
        return await client.start(ready)
