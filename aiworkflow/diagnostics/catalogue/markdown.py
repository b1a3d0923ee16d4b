"""AW2xx: the Markdown of a workflow: frontmatter, headings, fences."""

from __future__ import annotations

from aiworkflow.diagnostics.rule import Rule

RULES = (
    Rule(
        "AW201", "underlined-heading", "a heading made by a line below the text",
        "A line of text followed by `---` or `===` is a heading in Markdown, and would silently "
        "split a prompt in two.",
        "## Review\n\n```yaml step\n```\n\nList what could break.\n---\nBe brief.\n",
        "## Review\n\n```yaml step\n```\n\nList what could break.\n\n---\n\nBe brief.\n",
    ),
    Rule(
        "AW202", "title-first", "a level-1 heading that is missing, late or repeated",
        "A workflow has one title, and it comes first. Steps stand below headings of level 2 and "
        "deeper.",
        "# Build\n\n```bash\nmake\n```\n", "## Build\n\n```bash step\nmake\n```\n",
    ),
    Rule(
        "AW203", "unclosed-fence", "a fence that is never closed",
        "Everything after it would be part of the block, down to the end of the document.",
        "## Build\n\n```bash step\nmake\n", "## Build\n\n```bash step\nmake\n```\n",
    ),
    Rule(
        "AW204", "no-language", "a step block that names no language",
        "The first word of the info string says what the block holds: `yaml` for settings, else "
        "the language of the code; `step` is the second.",
        "## Build\n\n```step\nmake\n```\n", "## Build\n\n```bash step\nmake\n```\n",
    ),
    Rule(
        "AW205", "misplaced-step", "a step block where none can stand",
        "In lists, quotes and indented text a fence is part of the text; before the first section "
        "it belongs to none.",
        "## Build\n\n- first\n\n  ```bash step\n  make\n  ```\n",
        "## Build\n\n- first\n\n```bash step\nmake\n```\n",
    ),
    Rule(
        "AW206", "step-forgotten", "settings of a step in a block without the word `step`",
        "Without it the block is an example, and the section documentation that never runs.",
        "## Build\n\n```bash step\nmake\n```\n\n## Read\n\n"
        "```yaml\nuses: file.read\nwith: {path: README.md}\n```\n",
        "## Build\n\n```bash step\nmake\n```\n\n## Read\n\n"
        "```yaml step\nuses: file.read\nwith: {path: README.md}\n```\n",
    ),
    Rule(
        "AW207", "block-twice", "two step blocks of one sort in a section",
        "A section is one step: it has at most one block of settings, one of code, and one `undo`.",
        "## Build\n\n```bash step\nmake\n```\n\n```bash step\nmake docs\n```\n",
        "## Build\n\n```bash step\nmake\nmake docs\n```\n",
    ),
    Rule(
        "AW208", "info-string", "words beside a step block that cannot stand there",
        "Only `id`, `output`, `timeout` and `cwd` may stand beside the language, as `key=value`. "
        "Markdown viewers do not show these words, so nothing else belongs there.",
        "## Build\n\n```bash step effect=read\nmake\n```\n",
        "## Build\n\n```yaml step\neffect: read\n```\n\n```bash step\nmake\n```\n",
    ),
    Rule(
        "AW209", "markdown-too-deep", "lists and quotes nested too deep, or too many of them",
        "Nobody can review it, and what is left out of the outline would not be checked.",
        "> " * 50 + "deep\n", "> not deep\n",
    ),
    Rule(
        "AW210", "no-frontmatter", "a workflow without settings at its head",
        "The file begins with a line `---`, settings such as `name`, and another `---`.",
        "# Code review\n\n## Build\n\n```bash step\nmake\n```\n",
        "---\nname: code-review\n---\n\n# Code review\n\n## Build\n\n```bash step\nmake\n```\n",
    ),
    Rule(
        "AW211", "frontmatter-end", "frontmatter that is not closed by a line of exactly `---`",
        "Viewers differ in where such settings end, so what one shows as text another would obey.",
        "---\nname: code-review\n\n# Code review\n\n## Build\n\n```bash step\nmake\n```\n",
        "---\nname: code-review\n---\n\n# Code review\n\n## Build\n\n```bash step\nmake\n```\n",
    ),
)  # fmt: skip
