"""Items of nested lists have names of their own."""

from __future__ import annotations

from tests.unit.plan.documents import compiled, group, read, said, step


def test_an_inner_item_with_the_name_of_the_outer_one_is_reported() -> None:
    inner = step("files", "each: range(3)\n", level=3)
    document = group("folders", "each: range(2)\n", inner)
    (found,) = compiled(read(document))[1]
    assert said(found).startswith("AW128")
    assert found.message == "`item` is the item of `folders` already"
    assert found.hint == "give the inner one a name of its own: `as: …`"
