"""How what holds others closes: its result, the join of its branches, and the end of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.bundle.workflow import Group, OnError
from aiworkflow.engine import events as ev
from aiworkflow.engine.branches import pending_writes
from aiworkflow.engine.carried import Failure, Json
from aiworkflow.engine.commands import Answer, Asked, Perform, Question
from aiworkflow.engine.desk import Asking, Desk, idempotency_key, inherited, located
from aiworkflow.engine.ends import come_to_rest, try_again
from aiworkflow.engine.instance import (
    CANCELLED,
    FAILED,
    PENDING,
    ROLLED_BACK,
    SUCCEEDED,
    UNDER_WAY,
    Instance,
)
from aiworkflow.engine.join import ReduceError
from aiworkflow.engine.undo import (
    begins_again,
    not_taken_back,
    prepare_undo,
    roll_back,
    standing,
    standing_in_groups,
    wants_rollback,
)
from aiworkflow.plan.graph import ROOT, Node

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

_STATUS_OF_STOPPING = {
    "": SUCCEEDED,
    "enough": SUCCEEDED,
    "failed": FAILED,
    "timeout": FAILED,
    "cancelled": CANCELLED,
    "undo": FAILED,
}


def close_instance(desk: Desk, instance: Instance, node: Node) -> Asking:
    """Rule 4, once nothing below is under way."""
    status, error = _STATUS_OF_STOPPING[instance.stopping], instance.error
    if status == SUCCEEDED:  # a frontier that has miscounted must not make a success of it
        left = [c.path for c in (instance.children or {}).values() if c.status in UNDER_WAY]
        assert not left, f"`{instance.path or 'the run'}` closes while `{left[0]}` goes on"
    if instance.path == "":
        yield from finish_run(desk, instance, status, error)
        return
    output = None
    merged: dict[str, Json] = {}
    if instance.form == "each":
        failed = desk.eachs[instance.path].failed
        if status == SUCCEEDED and failed is not None:
            status, error = FAILED, inherited(failed)
    elif status == SUCCEEDED and instance.form == "group":
        assert isinstance(node.action, Group)
        if node.action.has_result:
            answer = yield Question(Asked.RESULT, node.id, instance.path, instance.path)
            output = answer.ref
            if answer.failure is not None:
                status, error = FAILED, located(answer.failure, instance.path)
    if status == SUCCEEDED and instance.forks:
        writes = pending_writes(instance, node.children)
        failure = misfit(desk, instance, writes)
        if failure is not None:
            status, error = FAILED, located(failure, instance.path)
        elif (yield from join_branches(desk, instance, node, writes, merged)):
            return
    if status == SUCCEEDED and instance.join is not None and instance.join.status == FAILED:
        status, error = FAILED, instance.join.error
    if status == FAILED and roll_back(desk, instance, node, error):
        return
    is_whole = instance.form != "each" and instance.round is None
    may_again = status == FAILED and is_whole
    is_last = True
    if may_again and error is not None and begins_again(instance, node, error):
        kept = not_taken_back(desk, instance)
        is_last = bool(kept)
        if kept:  # to begin again would do it twice
            error, may_again = _with_left(error, kept), False
    joined = False
    if status == FAILED and is_last and instance.forks and node.on_error is OnError.CONTINUE:
        found = yield from join_what_succeeded(desk, instance, node, merged)
        if found is None:
            return
        joined = found
    order = node.children if instance.forks and instance.form == "group" else ()
    desk.emit(ev.Closed(desk.now, instance.path, status, output, error, merged, order, joined))
    desk.drop_frontier(instance)
    yield from prepare_undo(desk, instance)
    if may_again and try_again(desk, instance):
        return
    come_to_rest(desk, instance)


def _with_left(error: Failure, left: Sequence[str]) -> Failure:
    listed = ", ".join(f"`{path}`" for path in left)
    text = f"{error.message} (not tried again: {listed} could not be taken back)"
    return Failure(error.kind, text, error.exit_code, error.step, error.hint)


def join_what_succeeded(
    desk: Desk, instance: Instance, node: Node, merged: dict[str, Json]
) -> Generator[Question, Answer, bool | None]:
    """The join of a fork that failed while the run goes on: what succeeded in it counts.

    Returns:
        Whether its writes can be merged; None while reducers of tools/ are under way.
    """
    writes = pending_writes(instance, node.children)
    if not writes or misfit(desk, instance, writes) is not None:
        return False
    if (yield from join_branches(desk, instance, node, writes, merged)):
        return None
    return instance.join is None or instance.join.status == SUCCEEDED


def join_branches(
    desk: Desk,
    instance: Instance,
    node: Node,
    writes: dict[str, list[Json]],
    merged: dict[str, Json],
) -> Generator[Question, Answer, bool]:
    """Run the reducers of tools/ that a join needs; True while that is under way."""
    assert desk.state.started is not None
    channels = desk.state.started.channels
    needed = {name: ops for name, ops in writes.items() if channels[name][0] == "tool"}
    if not needed:
        return False
    path = f"{instance.path}/join"
    join = instance.join
    if join is None or join.status == PENDING:
        answer = yield Question(Asked.REDUCE, node.id, path, instance.path, operands=needed)
        visit = desk.visit(path)
        desk.emit(
            ev.Started(
                desk.now,
                path,
                node.id,
                instance.path,
                visit,
                1,
                "read",
                idempotency_key(desk.state.started.run, path, visit),
                answer.ref,
                None,
                "join",
            )
        )
        desk.running.add(path)
        desk.performs.append(Perform(path))
        return True
    if not join.at_rest:
        return True
    if join.status == SUCCEEDED:
        answer = yield Question(Asked.MERGED, node.id, path, instance.path)
        assert isinstance(answer.value, dict)
        merged.update(answer.value)
    return False


def finish_run(desk: Desk, root: Instance, status: str, error: Failure | None) -> Asking:
    """Rule 4 for the run itself: its outputs, its roll-back, and its end."""
    outputs = None
    stands = standing_in_groups(desk)
    if status == FAILED and roll_back(desk, root, desk.plan.root, error):
        return
    if status == FAILED and wants_rollback(desk, root, desk.plan.root, error):
        stands = standing(desk, root)
        kept = not_taken_back(desk, root)
        if not kept:
            status = ROLLED_BACK
        elif error is None:
            listed = ", ".join(f"`{path}`" for path in kept)
            error = Failure("undo", f"could not be taken back: {listed}")
    if status == SUCCEEDED:
        answer = yield Question(Asked.OUTPUTS, ROOT, "", "")
        outputs = answer.ref
        if answer.failure is not None:
            status, error = FAILED, answer.failure
    desk.emit(ev.RunFinished(desk.now, status, outputs, error, stands))


def misfit(desk: Desk, instance: Instance, writes: dict[str, list[Json]]) -> Failure | None:
    """Why these writes cannot be reduced into what the instance sees, or None."""
    scope = desk.state.scope(instance)
    assert desk.state.started is not None
    for name, operands in writes.items():
        if desk.state.started.channels[name][0] == "tool":
            continue
        try:
            desk.state.reduced(scope, name, operands, {})
        except ReduceError as error:
            return Failure("state", f"cannot write `{name}`: {error}")
    return None
