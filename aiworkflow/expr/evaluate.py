"""Tree + names → value, within limits. A tree is compiled to closures once and run many times."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias, cast

from aiworkflow.errors import AIWorkflowError
from aiworkflow.expr import tree as t
from aiworkflow.expr.arithmetic import arithmetic, is_number
from aiworkflow.expr.functions import FILTERS, FUNCTIONS, TESTS
from aiworkflow.expr.scope import DEFAULT_LIMITS, Failed, Limits, Scope, Undefined, defined
from aiworkflow.expr.values import (
    MOST_TEXT,
    Limited,
    Misused,
    holds,
    kind,
    plain,
    same,
    shown_text,
    truth,
)
from aiworkflow.expr.work import comparison_cost, cost, filter_cost, weight

if TYPE_CHECKING:
    from aiworkflow.diagnostics import Place
    from aiworkflow.expr.tree import Expression
    from aiworkflow.expr.types import Json


class EvaluationError(AIWorkflowError):
    """An expression has no value.

    Attributes:
        kind: `undefined`, `null`, `type`, `limit` or `value`.
        place: the part of the expression that fails.
    """

    code = "expression"

    def __init__(
        self, kind_: str, message: str, place: Place | None, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint, place=place)
        self.kind = kind_


Run: TypeAlias = Callable[[Scope], object]


def evaluate(
    expression: Expression, names: Mapping[str, object], limits: Limits = DEFAULT_LIMITS
) -> Json:
    """The value of an expression, as plain data.

    Raises:
        EvaluationError: it has none, or takes too much.
    """
    found = value_of(expression, Scope(names, limits.operations))
    try:
        return plain(found)
    except Limited as limited:
        raise EvaluationError("limit", limited.message, expression.place(expression.tree)) from None
    except RecursionError:
        raise _too_deep(expression) from None


def _too_deep(expression: Expression) -> EvaluationError:
    return EvaluationError("limit", "a value is nested too deep", expression.fragment.place())


def value_of(expression: Expression, scope: Scope) -> object:
    """The value of an expression, with lazily computed parts as they are."""
    compiled = expression._compiled  # noqa: SLF001  the cache of this module
    if not compiled:
        compiled.append(_Compiler(expression).compile(expression.tree))
    run: Run = compiled[0]  # type: ignore[assignment]
    try:
        scope.spend(1)
        return defined(run(scope))
    except Failed as failed:
        raise EvaluationError(
            failed.reason, failed.message, expression.place(failed.tree), failed.hint
        ) from None
    except Limited as limited:
        raise EvaluationError("limit", limited.message, expression.fragment.place()) from None
    except RecursionError:
        raise _too_deep(expression) from None


class _Compiler:
    def __init__(self, expression: Expression) -> None:
        self.expression = expression

    def compile(self, tree: t.Tree) -> Run:
        """A closure for a tree. Its result may be Undefined."""
        match tree:
            case t.Literal(value):
                return lambda _: value
            case t.Name(name):
                return _name(tree, name)
            case t.Field(target, name):
                return _field(self.compile(target), tree, name)
            case t.Item(target, index):
                return _item(self.compile(target), self.compile(index), tree)
            case t.Slice():
                return self._slice(tree)
            case t.ListLiteral(items):
                return _list([self.compile(item) for item in items])
            case t.ObjectLiteral(pairs):
                return self._object(pairs, tree)
            case t.Filter():
                return self._filter(tree)
            case t.Test():
                return self._test(tree)
            case t.Call():
                return self._called(tree)
            case _:
                return self._operation(tree)

    def _operation(self, tree: t.Unary | t.Binary | t.Compare | t.Conditional | t.Concat) -> Run:
        match tree:
            case t.Unary(operator, operand):
                return _unary(operator, self.compile(operand), tree)
            case t.Binary("and" | "or" as operator, left, right):
                return _logic(operator, self.compile(left), self.compile(right))
            case t.Binary(operator, left, right):
                return _binary(operator, self.compile(left), self.compile(right), tree)
            case t.Compare():
                return self._compare(tree)
            case t.Conditional(test, yes, no):
                run_no: Run = self.compile(no) if no is not None else (lambda _: None)
                return _conditional(self.compile(test), self.compile(yes), run_no)
            case t.Concat(parts):
                return _concat([self.compile(part) for part in parts], tree)

    def _slice(self, tree: t.Slice) -> Run:
        target = self.compile(tree.target)
        bounds = [
            self.compile(x) if x is not None else None for x in (tree.low, tree.high, tree.step)
        ]

        def run(scope: Scope) -> object:
            value = defined(target(scope))
            if not isinstance(value, Sequence):
                raise Failed(
                    "type", f"a part can be taken of text and lists, not of {kind(value)}", tree
                )
            cut = [None if one is None else defined(one(scope)) for one in bounds]
            if any(
                one is not None and (not isinstance(one, int) or isinstance(one, bool))
                for one in cut
            ):
                raise Failed("type", "the bounds of `[:]` are whole numbers", tree)
            if cut[2] == 0:
                raise Failed("value", "the step of `[::]` cannot be 0", tree)
            found = value[slice(*cast("list[int | None]", cut))]
            scope.spend(cost(found))
            return found

        return run

    def _object(self, pairs: tuple[tuple[t.Tree, t.Tree], ...], tree: t.Tree) -> Run:
        runs = [(self.compile(key), self.compile(value)) for key, value in pairs]

        def run(scope: Scope) -> object:
            scope.spend(len(runs))
            found: dict[str, object] = {}
            for key, value in runs:
                name = defined(key(scope))
                if not isinstance(name, str):
                    raise Failed("type", f"names of fields are text, not {kind(name)}", tree)
                found[name] = defined(value(scope))
            return found

        return run

    def _compare(self, tree: t.Compare) -> Run:
        first = self.compile(tree.left)
        rest = [(operator, self.compile(right)) for operator, right in tree.rest]

        def run(scope: Scope) -> object:
            left = defined(first(scope))
            for operator, compiled in rest:
                right = defined(compiled(scope))
                scope.spend(comparison_cost(operator, left, right, scope.left))
                if not _holds(operator, left, right, tree):
                    return False
                left = right
            return True

        return run

    def _arguments(
        self, arguments: tuple[t.Tree, ...], named: tuple[tuple[str, t.Tree], ...]
    ) -> Callable[[Scope], tuple[list[object], dict[str, object]]]:
        runs = [self.compile(one) for one in arguments]
        keyed = [(key, self.compile(one)) for key, one in named]
        if not runs and not keyed:
            return lambda _: ([], {})
        return lambda scope: (
            [defined(run(scope)) for run in runs],
            {key: defined(run(scope)) for key, run in keyed},
        )

    def _filter(self, tree: t.Filter) -> Run:
        target = self.compile(tree.target)
        arguments = self._arguments(tree.arguments, tree.named)
        if tree.name == "default":
            return _default(target, arguments)
        call = FILTERS[tree.name].call
        parameters = FILTERS[tree.name].parameters

        def run(scope: Scope) -> object:
            value = defined(target(scope))
            given, named = arguments(scope)
            all_given = _ordered(given, named, parameters)
            scope.spend(filter_cost(tree.name, value, all_given, scope.left))
            found = _guarded(lambda: call(value, *all_given), tree)
            scope.spend(cost(found))
            return found

        return run

    def _test(self, tree: t.Test) -> Run:
        target = self.compile(tree.target)
        if tree.name in {"defined", "undefined"}:
            wanted = tree.name == "undefined"

            def asked(scope: Scope) -> object:
                try:
                    return isinstance(target(scope), Undefined) == wanted
                except Failed as failed:
                    if failed.reason != "null":
                        raise
                    return wanted  # a field of null is not there

            return asked
        arguments = self._arguments(tree.arguments, ())
        call = TESTS[tree.name].call

        def run(scope: Scope) -> object:
            value = defined(target(scope))
            given, _ = arguments(scope)
            scope.spend(1 + sum(map(cost, given)))
            return _guarded(lambda: bool(call(value, *given)), tree)

        return run

    def _called(self, tree: t.Call) -> Run:
        arguments = self._arguments(tree.arguments, tree.named)
        call = FUNCTIONS[tree.name].call

        def run(scope: Scope) -> object:
            given, _ = arguments(scope)
            scope.spend(weight(given, scope.left))
            found = _guarded(lambda: call(*given), tree)
            scope.spend(cost(found))
            return found

        return run


def _list(runs: list[Run]) -> Run:
    def run(scope: Scope) -> object:
        scope.spend(len(runs))
        return [defined(run(scope)) for run in runs]

    return run


def _ordered(
    given: list[object], named: dict[str, object], parameters: tuple[str, ...]
) -> list[object]:
    """Arguments in the order of the parameters; jinja2's keyword form is only another way to say it."""
    if not named:
        return given
    found = list(given)
    for name in parameters[len(given) :]:
        if name not in named:
            break
        found.append(named[name])
    rest = [name for name in named if name not in parameters[: len(found)]]
    if rest:  # a gap: fill it with null, which every optional parameter takes as "not given"
        last = max(parameters.index(name) for name in rest)
        found.extend(named.get(name) for name in parameters[len(found) : last + 1])
    return found


def _guarded(call: Callable[[], object], tree: t.Tree) -> object:
    try:
        found = call()
    except Misused as misused:
        raise Failed(misused.reason, misused.message, tree) from None
    except ZeroDivisionError:
        raise Failed("value", "this cannot be computed: division by zero", tree) from None
    except ArithmeticError:
        raise Failed("value", "the result is larger than a number can be", tree) from None
    except ValueError as error:
        raise Failed("value", f"this cannot be computed: {error}", tree) from None
    except (TypeError, AttributeError):
        raise Failed("type", "the arguments are of the wrong type", tree) from None
    return found


def _name(tree: t.Name, name: str) -> Run:
    def run(scope: Scope) -> object:
        try:
            return scope.names[name]
        except KeyError:
            return Undefined(f"`{name}` is not defined here", tree, name, scope.names)

    return run


def _field(target: Run, tree: t.Field, name: str) -> Run:
    def run(scope: Scope) -> object:
        value = target(scope)
        if isinstance(value, Mapping):
            try:
                return value[name]
            except KeyError:
                return Undefined(f"there is no field `{name}`", tree, name, value)
        if isinstance(value, Undefined):
            return value
        if value is None:
            raise Failed(
                "null",
                f"`{name}` is read from null",
                tree,
                "guard it: `x | default({})`, or an `if` that asks whether it is there",
            )
        return Undefined(f"{kind(value)} has no field `{name}`", tree)

    return run


def _item(target: Run, index: Run, tree: t.Item) -> Run:
    def run(scope: Scope) -> object:
        value = target(scope)
        if isinstance(value, Undefined):
            return value
        at = defined(index(scope))
        if value is None:
            raise Failed("null", "an element is read from null", tree)
        if isinstance(value, Mapping):
            if isinstance(at, str) and at in value:
                return value[at]
            return Undefined(f"there is no field {at!r}", tree)
        if isinstance(value, Sequence) and isinstance(at, int) and not isinstance(at, bool):
            if -len(value) <= at < len(value):
                return value[at]
            return Undefined(f"there is no element {at} (the length is {len(value)})", tree)
        raise Failed("type", f"{kind(value)} has no element {at!r}", tree)

    return run


def _default(
    target: Run, arguments: Callable[[Scope], tuple[list[object], dict[str, object]]]
) -> Run:
    def run(scope: Scope) -> object:
        try:
            value = target(scope)
        except Failed as failed:
            if failed.reason != "null":
                raise
            value = None  # a field of null: as absent as null itself
        if value is not None and not isinstance(value, Undefined):
            return value
        given, named = arguments(scope)
        return given[0] if given else named["value"]

    return run


def _conditional(test: Run, yes: Run, no: Run) -> Run:
    return lambda scope: yes(scope) if truth(defined(test(scope))) else no(scope)


def _logic(operator: str, left: Run, right: Run) -> Run:
    if operator == "and":

        def both(scope: Scope) -> object:
            value = defined(left(scope))
            return defined(right(scope)) if truth(value) else value

        return both

    def either(scope: Scope) -> object:
        value = defined(left(scope))
        return value if truth(value) else defined(right(scope))

    return either


def _concat(parts: list[Run], tree: t.Tree) -> Run:
    def run(scope: Scope) -> object:
        def joined() -> str:
            found: list[str] = []
            length = 0
            for part in parts:
                value = defined(part(scope))
                scope.spend(weight(value, scope.left))
                found.append(shown_text(value))
                length += len(found[-1])
                if length > MOST_TEXT:
                    raise Limited("the text is longer than 10 MB")
            return "".join(found)

        return _guarded(joined, tree)

    return run


def _unary(operator: str, operand: Run, tree: t.Tree) -> Run:
    if operator == "not":
        return lambda scope: not truth(defined(operand(scope)))

    def run(scope: Scope) -> object:
        value = defined(operand(scope))
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Failed("type", f"`{operator}` takes a number, not {kind(value)}", tree)
        return -value if operator == "-" else value

    return run


def _binary(operator: str, left: Run, right: Run, tree: t.Tree) -> Run:
    def run(scope: Scope) -> object:
        one, two = defined(left(scope)), defined(right(scope))
        found = _guarded(lambda: arithmetic(operator, one, two), tree)
        scope.spend(cost(found))
        return found

    return run


def _holds(operator: str, left: object, right: object, tree: t.Tree) -> bool:
    match operator:
        case "==":
            return same(left, right)
        case "!=":
            return not same(left, right)
        case "in" | "not in":
            found = _guarded(lambda: holds(right, left, f"`{operator}`"), tree)
            return bool(found) == (operator == "in")
        case _:
            return _ordered_pair(operator, left, right, tree)


def _ordered_pair(operator: str, left: object, right: object, tree: t.Tree) -> bool:
    comparable = (is_number(left) and is_number(right)) or (
        isinstance(left, str) and isinstance(right, str)
    )
    if not comparable:
        raise Failed(
            "null" if None in (left, right) else "type",
            f"`{operator}` cannot compare {kind(left)} with {kind(right)}",
            tree,
        )
    match operator:
        case "<":
            return bool(left < right)  # type: ignore[operator]
        case "<=":
            return bool(left <= right)  # type: ignore[operator]
        case ">":
            return bool(left > right)  # type: ignore[operator]
        case _:
            return bool(left >= right)  # type: ignore[operator]
