"""Nothing in a bundle, however broken, may crash, hang or eat the machine while it is being read.

Each bundle is read in a process of its own that may use 8 seconds of processor time and 200 MB.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAD = "---\nname: hostile\n---\n\n# Hostile\n\n"
STEP = HEAD + "## Review\n\n```yaml step\n{}\n```\n\n"

READ = """
import json, resource, sys
from aiworkflow.bundle.read import read_bundle
from aiworkflow.diagnostics.render import to_json, to_text
from aiworkflow.plan import compile_plan
import aiworkflow.bundle.outline, aiworkflow.expr.syntax
aiworkflow.bundle.outline._parser(), aiworkflow.expr.syntax._environment()
resource.setrlimit(resource.RLIMIT_AS, (400_000_000, 400_000_000))
resource.setrlimit(resource.RLIMIT_CPU, (8, 8))
reading = read_bundle(sys.argv[1])
if reading.workflow is not None:
    compile_plan(reading.workflow, reading.report)
found = reading.report.sorted()
to_text(found, colour=True)
# ru_maxrss counts what the process that started this one had; VmHWM is of this one alone
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
peak = int(status["VmHWM"].split()[0]) / 1024
print(json.dumps({"peak": peak, "found": to_json(found)[:50]}))
"""


def read(bundle: Path) -> list[str]:
    """The codes found in a bundle, read within the limits."""
    done = subprocess.run(
        [sys.executable, "-c", READ, str(bundle)],
        capture_output=True, text=True, timeout=30, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout)
    assert result["peak"] < 200
    return sorted({one["code"] for one in result["found"]})


DOCUMENTS: dict[str, tuple[str | bytes, set[str]]] = {
    "not UTF-8": (b"---\nname: h\xff\n---\n", {"AW001"}),
    "UTF-16": ((HEAD).encode("utf-16"), {"AW001"}),
    "NUL bytes": ("\0" * 1000, {"AW002"}),
    "empty": ("", {"AW210"}),
    "only dashes": ("---", {"AW210"}),
    "unclosed frontmatter": ("---\nname: hostile\n", {"AW211"}),
    "frontmatter of a megabyte": ("---\n" + "a: b\n" * 200_000, {"AW211"}),
    "many unknown settings": ("---\n" + "\n".join(f"a{n}: b" for n in range(20_000)) + "\n---\n",
                              {"AW501"}),
    "alias explosion": ("---\nname: hostile\na: &a [x, x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20)
    ) + "---\n", {"AW304"}),
    "YAML nested deep": ("---\nname: hostile\na: " + "[" * 10_000 + "\n---\n", {"AW309"}),
    "YAML maps nested deep": ("---\nname: hostile\na: " + "{a: " * 10_000 + "\n---\n", {"AW309"}),
    "YAML blocks nested deep": ("---\n" + "".join(" " * n + "a:\n" for n in range(1400)) + "---\n",
                                {"AW309"}),
    "duplicate keys": ("---\n" + "name: hostile\n" * 5000 + "---\n", {"AW307"}),
    "quotes nested deep": (HEAD + "> " * 10_000 + "x\n", {"AW209"}),
    "quotes nested deep in many lines": (HEAD + (">" * 1000 + "\n") * 900, {"AW209"}),
    "lists nested deep": (HEAD + "- " * 10_000 + "x\n", {"AW209"}),
    "lists nested deep by lines": (HEAD + "".join(" " * n + "- x\n" for n in range(1300)), {"AW209"}),
    "a list of a megabyte": (HEAD + "- x\n" * 250_000, {"AW209"}),
    "lists in lists": (HEAD + ("- " * 39 + "x\n") * 12_000, {"AW209"}),
    "brackets": (HEAD + "[" * 500_000, {"AW106"}),
    "link definitions": (STEP + "Do.\n" + "[a]: b\n" * 100_000, {"AW804"}),
    "different link definitions": (STEP + "Do.\n\n" + "".join(f"[a{n}]: b\n" for n in range(50_000)),
                                   {"AW804"}),
    "backticks": (STEP + "Do. " + "` `` ``` ```` " * 50_000, set()),
    "backticks of many lengths": (STEP + "Do. " + " ".join("`" * n for n in range(1, 1300)), set()),
    "HTML": (HEAD + "<a" * 300_000, {"AW106"}),
    "HTML comments": (HEAD + "<!--" * 200_000, {"AW802"}),
    "tags": (HEAD + "<b>" * 200_000, {"AW802"}),
    "autolinks": (HEAD + "<a:" * 200_000, {"AW106"}),
    "at signs": (HEAD + "<" + "a@" * 200_000, {"AW106"}),
    "a table of a megabyte": (STEP + "Do.\n\n" + "|a" * 100_000 + "|\n" + "|-" * 100_000 + "|\n" + "|b|\n" * 100_000, set()),
    "headings": (HEAD + "## A\n\n" * 100_000, {"AW106", "AW209"}),
    "headings with templates": (HEAD + "## A\n\n{{ b }}\n\n" * 5_000, {"AW805"}),
    "one long heading": (HEAD + "## " + "a" * 1_000_000, {"AW106"}),
    "a heading of markup": (HEAD + "## " + "[" * 100_000 + "\n\n```bash step\nmake\n```\n", {"AW101"}),
    "steps": (HEAD + "".join(f"## A{n}\n\n```bash step\nmake\n```\n\n" for n in range(10_000)),
              {"AW118"}),
    "as many steps as are read": (
        HEAD + "".join(f"## A{n}\n\n```bash step\nmake\n```\n\n" for n in range(500)), set()
    ),
    "steps of one name": (HEAD + "## A\n\n```bash step\nmake\n```\n\n" * 1500, {"AW102", "AW118"}),
    "fences": (HEAD + "```\n" * 200_000, {"AW106", "AW209"}),
    "an unclosed fence": (HEAD + "## A\n\n```bash step\n" + "make\n" * 100_000, {"AW203"}),
    "fences nested": (HEAD + "## A\n\n" + "".join("`" * n + "\n" for n in range(1300, 3, -1)), {"AW203"}),
    "indented code": (HEAD + "    ```bash step\n\n" * 40_000, {"AW205"}),
    "expressions": (STEP + "{{ a }} " * 20_000, {"AW402"}),
    "as many expressions as are read": (STEP + "{{ a }} " * 2_000, {"AW108"}),
    "an expression nested deep": (STEP + "{{ " + "(" * 10_000 + " }}", {"AW403"}),
    "an expression of nots": (STEP + "{{ " + "not " * 10_000 + "a }}", {"AW403"}),
    "an expression of sums": (STEP + "{{ 1" + " + 1" * 20_000 + " }}", {"AW403"}),
    "an expression of fields": (STEP + "{{ a" + ".b" * 20_000 + " }}", {"AW403"}),
    "blocks nested deep": (STEP + "{% if a %}" * 10_000, {"AW403", "AW406"}),
    "unclosed expressions": (STEP + "{{ " * 60_000, {"AW403"}),
    "closing braces": (STEP + "Do. " + "}}" * 90_000 + "{{", {"AW406"}),
    "too long a prompt": (STEP + "{{ a }}" + "x" * 900_000, {"AW402"}),
    "hidden characters": (STEP + "Do. " + "\u200b" * 100_000, {"AW801"}),
    "emoji": (STEP + "Do. " + "👩\u200d" * 60_000, {"AW801"}),
    "flags": (STEP + "Do. \U0001f3f4" + "\U000e0061" * 60_000, {"AW801"}),
    "carriage returns": (HEAD + "\r" * 500_000, {"AW106"}),
    "spaces": (HEAD + " " * 900_000 + "\n", {"AW106"}),
    "spaces before a heading's end": (HEAD + "## A" + " " * 400_000 + "#" + " " * 400_000 + "b\n", {"AW106"}),
    "settings of a megabyte": (HEAD + "## A\n\n```yaml step\nwith: {" + "a: b, " * 100_000 + "}\n```\n",
                               {"AW307", "AW310"}),
    "a regular expression's nightmare": (HEAD + "\n" * 500_000 + "x", {"AW106"}),
    "white space before dashes": ("\n" * 900_000, {"AW210"}),
}  # fmt: skip


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measures memory as Linux does")
@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_hostile_document_ends_in_findings(name: str, tmp_path: Path) -> None:
    content, expected = DOCUMENTS[name]
    bundle = tmp_path / "hostile"
    bundle.mkdir()
    raw = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    (bundle / "workflow.md").write_bytes(raw)
    found = read(bundle)
    assert (set(found) & expected) if expected else not found, found
