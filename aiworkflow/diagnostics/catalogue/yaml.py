"""AW3xx: YAML."""

from __future__ import annotations

from aiworkflow.diagnostics.rule import Rule

RULES = (
    Rule(
        "AW301", "yaml-syntax", "text that is not YAML",
        "Settings that cannot be read as YAML cannot be checked, so nothing of them would hold.",
        "timeout: 5m\n  retry: 3\n", "timeout: 5m\nretry: 3\n",
    ),
    Rule(
        "AW302", "yaml-character", "a character that cannot stand in YAML",
        "Control characters and unusual line ends look like nothing in an editor, and readers "
        "disagree about them.",
        "cwd: one\u2028two\n", "cwd: one two\n",
    ),
    Rule(
        "AW303", "yaml-tab", "a tab that indents YAML",
        "YAML forbids tabs as indentation: their width is a matter of the editor.",
        "with:\n\ta: 1\n", "with:\n  a: 1\n",
    ),
    Rule(
        "AW304", "yaml-anchor", "an anchor",
        "What a step does should stand at the step. Anchors are not used, so that every value can "
        "be read where it is.",
        "env: &shared {A: x}\n", "env: {A: x}\n",
    ),
    Rule(
        "AW305", "yaml-alias", "an alias",
        "Aliases are not used: what a step does should stand at the step, and aliases of aliases "
        "can blow up to any size.",
        "env: *shared\n", "env: {A: x}\n",
    ),
    Rule(
        "AW306", "yaml-tag", "a tag",
        "Tags change what a value is in ways that other readers of the file do not see.",
        "id: !!str a\n", "id: a\n",
    ),
    Rule(
        "AW307", "yaml-duplicate-key", "a key that is given twice",
        "One of the two would win silently, and which one depends on the reader.",
        "timeout: 5m\ntimeout: 9m\n", "timeout: 9m\n",
    ),
    Rule(
        "AW308", "yaml-documents", "a second document, or a directive",
        "One place holds one map of settings; what stands in a second document would be ignored.",
        "id: a\n---\nid: b\n", "id: a\n",
    ),
    Rule(
        "AW309", "yaml-depth", "data that is nested too deep",
        "Data in settings is small; nesting that deep is a slip or an attack on the reader.",
        "with: {a: " + "[" * 60 + "]" * 60 + "}\n", "with: {a: [1]}\n",
    ),
    Rule(
        "AW310", "yaml-size", "too much YAML",
        "Settings are read on every command, and reviewed by people; large data belongs in a file "
        "that a step reads.",
        "with: {a: [" + "1," * 50_001 + "]}\n", "with: {a: [1]}\n",
    ),
    Rule(
        "AW311", "yaml-key", "a key that is not text",
        "Keys are names. A number, a truth value or nothing as a key reads differently in JSON and "
        "in expressions.",
        "with: {1: a}\n", 'with: {"1": a}\n',
    ),
    Rule(
        "AW312", "yaml-number", "a number that JSON cannot hold",
        "Data passes between steps as JSON, which knows neither infinity nor numbers of any size.",
        "with: {a: .inf}\n", 'with: {a: ".inf"}\n',
    ),
    Rule(
        "AW313", "yaml-unclosed", "a quote or bracket that is not closed",
        "All that follows would be taken for a part of the value.",
        'id: "a\ntimeout: 5m\n', 'id: "a"\ntimeout: 5m\n',
    ),
    Rule(
        "AW320", "yaml-after-quote", "text after a closing quote or bracket",
        "YAML ends a value that begins with a quote at the closing one. Quote the whole value.",
        'if: "a" == steps.x.output\n', "if: '\"a\" == steps.x.output'\n",
    ),
    Rule(
        "AW321", "yaml-template", "a template without quotes",
        "To YAML `{{` begins a map, so the template would never be seen. Quote it, or write the "
        "bare expression where one is taken.",
        "each: {{ inputs.files }}\n", 'each: "{{ inputs.files }}"\n',
    ),
    Rule(
        "AW322", "yaml-not", "`!` for `not`",
        "To YAML `!` begins a tag, and expressions say `not`.",
        "if: !steps.x.output\n", "if: not steps.x.output\n",
    ),
    Rule(
        "AW323", "yaml-colon-space", "no space after a colon",
        "Without the space `a:1` is one name, not a name and its value.",
        "with: {a:1}\n", "with: {a: 1}\n",
    ),
    Rule(
        "AW324", "yaml-star", "a value that begins with `*`",
        "To YAML `*` begins an alias. Schedules and host patterns need quotes.",
        "with: {every: */5 * * * *}\n", 'with: {every: "*/5 * * * *"}\n',
    ),
    Rule(
        "AW325", "yaml-lost-tail", "the end of a value that is lost after ` #`",
        "To YAML ` #` begins a comment, wherever it stands outside quotes. `# ` with a space is "
        "taken as meant.",
        "with: {a: 1}\ncwd: docs #3\n", 'with: {a: 1}\ncwd: "docs #3"\n',
    ),
    Rule(
        "AW326", "yaml-inner-colon", "`: ` within a value",
        "To YAML a colon with a space makes a map of what stands before it.",
        "if: steps.a.output ? 1 : 2\n", 'if: "steps.a.output == 1"\n',
    ),
    Rule(
        "AW327", "yaml-first-character", "a value that begins with a character of YAML's own",
        "A value that begins with `@`, a backtick, `%`, `&`, `>` or `|` means something else to "
        "YAML. Quote it.",
        "with:\n  who: @octocat\n", 'with:\n  who: "@octocat"\n',
    ),
)  # fmt: skip
