"""`template.render`: files of the bundle with values put in."""

from __future__ import annotations

import pytest

from aiworkflow.tools.contract import ToolError


def test_values_are_put_in_and_never_expanded_again(place):
    (place.bundle / "t.md").write_text(
        "# {{ title }}\n{% for x in items %}\n- {{ x }}\n{% endfor %}\n{{ values['a b'] }}\n"
    )
    values = {"title": "{{ title }} {% if %}", "items": [1, "b"], "a b": "ü"}
    found = place.call("template.render", {"template": "t.md", "values": values})
    assert found == "# {{ title }} {% if %}\n- 1\n- b\nü\n"


def test_files_of_the_bundle_can_be_included(place):
    (place.bundle / "parts").mkdir()
    (place.bundle / "parts" / "a.md").write_text("part {{ x }}\n")
    (place.bundle / "t.md").write_text('{% include "parts/a.md" %}\nend\n')
    assert "part 1" in place.call("template.render", {"template": "t.md", "values": {"x": 1}})


@pytest.mark.parametrize("path", ["../outside.md", "/etc/passwd", "link.md"])
def test_nothing_outside_of_the_bundle_is_read(place, path):
    (place.root / "outside.md").write_text("secret")
    (place.bundle / "link.md").symlink_to(place.root / "outside.md")
    with pytest.raises(ToolError) as failed:
        place.call("template.render", {"template": path})
    assert failed.value.kind == "permission"
    (place.bundle / "t.md").write_text(f'{{% include "{path}" %}}')
    with pytest.raises(ToolError):
        place.call("template.render", {"template": "t.md"})


def test_what_is_wrong_has_its_place(place):
    (place.bundle / "t.md").write_text("one\n{{ x.y }}\n")
    with pytest.raises(ToolError, match=r"t\.md:2:\d+: ") as failed:
        place.call("template.render", {"template": "t.md", "values": {"x": {}}})
    assert failed.value.kind == "expression"
    (place.bundle / "t.md").write_text("one\n{{ x + }}\n")
    with pytest.raises(ToolError, match=r"t\.md:2:\d+: ") as failed:
        place.call("template.render", {"template": "t.md"})
    assert failed.value.kind == "input"


def test_a_template_that_includes_itself_ends(place):
    (place.bundle / "t.md").write_text('x {% include "t.md" %}')
    with pytest.raises(ToolError):
        place.call("template.render", {"template": "t.md"})


def test_other_mistakes(place):
    with pytest.raises(ToolError, match=r"`none\.md` does not exist"):
        place.call("template.render", {"template": "none.md"})
    (place.bundle / "t.md").write_bytes(b"\xff")
    with pytest.raises(ToolError, match="not UTF-8 at offset 0"):
        place.call("template.render", {"template": "t.md"})
    (place.bundle / "t.md").write_text("x" * 100)
    with pytest.raises(ToolError, match="larger than 10 bytes"):
        place.call("template.render", {"template": "t.md"}, output_limit=10)
    with pytest.raises(ToolError, match=r"there is no `template\.draw`"):
        place.call("template.draw")
