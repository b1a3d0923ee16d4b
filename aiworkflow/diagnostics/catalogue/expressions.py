"""AW4xx: expressions and texts with expressions."""

from __future__ import annotations

from aiworkflow.diagnostics.rule import Rule

RULES = (
    Rule(
        "AW401", "no-expression", "an expression that is missing",
        "A setting that takes an expression would always or never hold.",
        'if: ""\n', "if: inputs.ready\n",
    ),
    Rule(
        "AW402", "text-too-long", "a text with expressions that is too long, or has too many",
        "Texts with expressions are read before each run, and no prompt is that long.",
        "{{ 1 }}" + " " * 3 + "… and 200,000 characters more\n", "{{ 1 }}\n",
    ),
    Rule(
        "AW403", "too-deep", "an expression that is nested too deep",
        "Nobody can review it. Compute parts of it in steps of their own.",
        "{{ " + "(" * 70 + "1" + ")" * 70 + " }}\n", "{{ 1 }}\n",
    ),
    Rule(
        "AW404", "foreign-operator", "an operator or a word of another language",
        "Expressions have `and`, `or`, `not`, `x if test else y`, and `none` as the only null.",
        "{{ inputs.a && inputs.b }}\n", "{{ inputs.a and inputs.b }}\n",
    ),
    Rule(
        "AW405", "expression-syntax", "an expression that cannot be read",
        "It would fail when the run comes there.",
        "{{ inputs.a inputs.b }}\n", "{{ inputs.a ~ inputs.b }}\n",
    ),
    Rule(
        "AW406", "expression-unclosed", "an expression or a tag that is not closed",
        "The rest of the text would be taken for a part of it.",
        "{{ (inputs.a }}\n", "{{ (inputs.a) }}\n",
    ),
    Rule(
        "AW407", "unknown-tag", "a tag that does not exist",
        "Prompts know the tags `if`, `elif`, `else`, `for`, `include` and `raw`. What is computed "
        "belongs into a step.",
        "{% set a = 1 %}{{ a }}\n", "{{ 1 }}\n",
    ),
    Rule(
        "AW408", "tag-in-value", "a tag in a value",
        "Values of settings take expressions; tags such as `{% if %}` may stand in prompts and "
        "messages only.",
        'with: {title: "{% if inputs.a %}yes{% endif %}"}\n',
        "with: {title: \"{{ 'yes' if inputs.a else '' }}\"}\n",
    ),
    Rule(
        "AW409", "computed-include", "`include` with a path that is computed",
        "What a prompt can hold must be known before the run.",
        "{% include inputs.file %}\n", '{% include "prompts/rules.md" %}\n',
    ),
    Rule(
        "AW410", "circular-include", "`include` in a circle",
        "The text would never end.",
        '{% include "prompts/circle.md" %}\n', '{% include "prompts/rules.md" %}\n',
    ),
    Rule(
        "AW411", "missing-include", "`include` of a file that is not in the bundle",
        "Paths are relative to the bundle's folder, and lead nowhere else.",
        '{% include "../secret.md" %}\n', '{% include "prompts/rules.md" %}\n',
    ),
    Rule(
        "AW420", "unknown-filter", "a filter that does not exist",
        "The filters are listed in the reference of expressions.",
        "{{ inputs.a | uper }}\n", "{{ inputs.a | upper }}\n",
    ),
    Rule(
        "AW421", "unknown-test", "a test that does not exist",
        "The tests, such as `is defined`, are listed in the reference of expressions.",
        "{{ inputs.a is definde }}\n", "{{ inputs.a is defined }}\n",
    ),
    Rule(
        "AW422", "unknown-function", "a function that does not exist",
        "The functions are listed in the reference of expressions. None reads files, the network, "
        "the clock or chance.",
        "{{ rnage(3) }}\n", "{{ range(3) }}\n",
    ),
    Rule(
        "AW423", "method-call", "a method of a value",
        "Values are data, without methods: that keeps expressions harmless. Use a filter.",
        "{{ inputs.a.upper() }}\n", "{{ inputs.a | upper }}\n",
    ),
    Rule(
        "AW424", "wrong-arguments", "a filter, test or function with the wrong arguments",
        "It would fail when the run comes there.",
        "{{ inputs.a | join(1, 2, 3) }}\n", '{{ inputs.a | join(", ") }}\n',
    ),
    Rule(
        "AW430", "unknown-field", "a field that the declared type does not have",
        "Outputs and inputs with a declared type have the fields named there and no others.",
        "## Score\n\n```yaml step\noutput: {score: integer}\n```\n\nScore it.\n\n"
        "## Tell\n\n```yaml step\n```\n\nIt got {{ steps.score.output.scroe }}.\n",
        "## Score\n\n```yaml step\noutput: {score: integer}\n```\n\nScore it.\n\n"
        "## Tell\n\n```yaml step\n```\n\nIt got {{ steps.score.output.score }}.\n",
    ),
    Rule(
        "AW431", "field-of-no-object", "a field of a value that is no object",
        "Text, numbers and lists have no fields.",
        "## Score\n\n```yaml step\noutput: {score: integer}\n```\n\nScore it.\n\n"
        "## Tell\n\n```yaml step\n```\n\nIt got {{ steps.score.output.score.value }}.\n",
        "## Score\n\n```yaml step\noutput: {score: integer}\n```\n\nScore it.\n\n"
        "## Tell\n\n```yaml step\n```\n\nIt got {{ steps.score.output.score }}.\n",
    ),
    Rule(
        "AW432", "text-plus-number", "`+` between a text and a number",
        "`+` adds numbers, or joins two texts or two lists. Put text together with `~`.",
        "## Score\n\n```yaml step\noutput: {score: integer}\n```\n\nScore it.\n\n"
        '## Tell\n\n```yaml step\n```\n\n{{ "It got " + steps.score.output.score }}\n',
        "## Score\n\n```yaml step\noutput: {score: integer}\n```\n\nScore it.\n\n"
        '## Tell\n\n```yaml step\n```\n\n{{ "It got " ~ steps.score.output.score }}\n',
    ),
    Rule(
        "AW433", "never-equal", "a comparison with a value that never comes",
        "A value of an enumeration is one of those listed, so the comparison always has one result.",
        "## Rate\n\n```yaml step\noutput: {risk: low | high}\n```\n\nRate it.\n\n"
        "## Stop\n\n```bash step\necho stop\n```\n\n"
        "```yaml step\nif: steps.rate.output.risk == \"hihg\"\n```\n",
        "## Rate\n\n```yaml step\noutput: {risk: low | high}\n```\n\nRate it.\n\n"
        "## Stop\n\n```bash step\necho stop\n```\n\n"
        "```yaml step\nif: steps.rate.output.risk == \"high\"\n```\n",
    ),
)  # fmt: skip
