"""AW5xx: settings: keys, kinds of step, values."""

from __future__ import annotations

from aiworkflow.diagnostics.rule import Rule

RULES = (
    Rule(
        "AW501", "unknown-setting", "a setting that does not exist",
        "A setting with a slip in its name would silently not hold.",
        "timeuot: 5m\n", "timeout: 5m\n",
    ),
    Rule(
        "AW502", "setting-of-other-kind", "a setting that means nothing on this kind of step",
        "It would have no effect, and its author believes that it has.",
        "parallel: true\n", "timeout: 5m\n",
    ),
    Rule(
        "AW503", "setting-value", "a value that a setting does not take",
        "Each setting takes one form of value, so that it can be checked before anything runs.",
        "timeout: five minutes\n", "timeout: 5m\n",
    ),
    Rule(
        "AW504", "setting-needs-quotes", "a number or truth value where text is meant",
        "YAML reads `1.10` as the number 1.1, so the text is lost. Quote it.",
        "cwd: 1.10\n", 'cwd: "1.10"\n',
    ),
    Rule(
        "AW505", "template-not-expanded", "a template where none is expanded",
        "Order, cost, permissions and trust are known before the run; what decides them is written "
        "out.",
        'timeout: "{{ inputs.timeout }}"\n', "timeout: 5m\n",
    ),
    Rule(
        "AW506", "missing-setting", "a setting that is missing",
        "The setting around it means nothing without it.",
        "undo: {with: {id: 1}}\n", "undo: {uses: github.delete, with: {id: 1}}\n",
    ),
    Rule(
        "AW507", "settings-not-a-map", "settings that are not a map",
        "Settings are `name: value` lines; a list or a text holds none.",
        "- timeout\n", "timeout: 5m\n",
    ),
    Rule(
        "AW508", "setting-choice", "a word that a setting does not take",
        "The setting takes one of a few words, and this is none of them.",
        "effect: reads\n", "effect: read\n",
    ),
    Rule(
        "AW510", "settings-exclude", "two settings that exclude each other",
        "It would not be clear which of the two comes first. Nest: put one around the other.",
        "each: inputs.files\nuntil: steps.a.output\nmax_rounds: 3\n",
        "until: steps.a.output\nmax_rounds: 3\n",
    ),
    Rule(
        "AW511", "until-without-bound", "`until` without `max_rounds`",
        "A loop without a bound has no bound on time and cost either.",
        "until: steps.a.output\n", "until: steps.a.output\nmax_rounds: 5\n",
    ),
    Rule(
        "AW512", "setting-alone", "a setting that means something only beside another",
        "Alone it has no effect, and its author believes that it has.",
        "as: file\n", "each: inputs.files\nas: file\n",
    ),
    Rule(
        "AW513", "name", "a name that cannot be one",
        "Names stand in expressions as `inputs.name`, so they are a letter or `_`, then letters, "
        "digits and `_`, in NFC, and no word of expressions.",
        "id: 2nd-review\n", "id: second_review\n",
    ),
    Rule(
        "AW515", "secret-outside-env", "a secret anywhere but as a whole value of `env`",
        "A secret in an argument, a prompt or a part of a text ends up in records and logs.",
        'env: {AUTH: "Bearer {{ secrets.TOKEN }}"}\n', 'env: {TOKEN: "{{ secrets.TOKEN }}"}\n',
    ),
    Rule(
        "AW516", "env-name", "a variable that cannot be set",
        "`INPUT_` and `AIWORKFLOW_` variables tell a script its data; `LD_` and `DYLD_` ones would "
        "change what any program does.",
        "env: {LD_PRELOAD: x.so}\n", "env: {PRELOAD: x.so}\n",
    ),
    Rule(
        "AW517", "schema-form", "a type that is none",
        "Types are `string`, `integer`, `number`, `boolean`, `any`, `[type]`, maps of these, "
        "`a | b | c`, or JSON Schema.",
        "output: {score: int}\n", "output: {score: integer}\n",
    ),
    Rule(
        "AW518", "schema-ambiguous", "a type that can be read in two ways",
        "A guess would be wrong for one half of the readers.",
        "output: {type: string, title: string}\n",
        "output: {type: object, properties: {type: {type: string}, title: {type: string}}}\n",
    ),
    Rule(
        "AW519", "json-schema", "JSON Schema that is none",
        "A keyword with a slip in it, or with the wrong form of value, would check nothing.",
        "output: {type: string, minLength: few}\n", "output: {type: string, minLength: 3}\n",
    ),
    Rule(
        "AW520", "schema-file", "a schema file that is missing or is not JSON",
        "The output could not be checked.",
        "output: {schema: missing.json}\n", "output: {score: integer}\n",
    ),
    Rule(
        "AW521", "default", "a default that does not fit its type",
        "Every run without that input would fail.",
        "inputs: {count: {type: integer, default: many}}\n",
        "inputs: {count: {type: integer, default: 3}}\n",
    ),
    Rule(
        "AW522", "schedule", "a schedule that is none",
        "It would never start a run, or at times that nobody meant.",
        'on: {schedule: "0 9 * *"}\n', 'on: {schedule: "0 9 * * 1-5"}\n',
    ),
    Rule(
        "AW523", "host", "a host that is none",
        "Permissions for the network are hosts, without scheme or path.",
        "allow: {network: [https://api.github.com/]}\n", "allow: {network: [api.github.com]}\n",
    ),
    Rule(
        "AW524", "path-leaves", "a path that leads out",
        "Steps work within the project; a path that leaves it is a slip or an attack.",
        "cwd: ../other\n", "cwd: services/api\n",
    ),
    Rule(
        "AW525", "reducer-setting", "`by` with a reducer that compares nothing",
        "Only `max` and `min` compare, so `by` would have no effect.",
        "state: {total: {reduce: sum, by: score}}\n", "state: {best: {reduce: max, by: score}}\n",
    ),
    Rule(
        "AW526", "skill-name", "a name or description against the rules of Agent Skills",
        "Every bundle can also be used as a skill: its name is at most 64 lower-case letters, "
        "digits and hyphens, its description at most 1024 characters.",
        "name: Code_Review\n", "name: code-review\n",
    ),
    Rule(
        "AW530", "stands-twice", "something that stands twice",
        "The second one has no effect, or hides the first.",
        "tools: [github.comment, github.comment]\n", "tools: [github.comment]\n",
    ),
    Rule(
        "AW531", "exactly-one", "none or several of settings of which one is taken",
        "Each of them says what happens; two would contradict, none says nothing.",
        "wait: {at: 2027-01-31T09:00:00Z, event: deployed}\n", "wait: {event: deployed}\n",
    ),
    Rule(
        "AW532", "costly-pattern", "a pattern that some text makes endless to match",
        "A pattern like `^(a+)+$` can be matched in more ways with each character: a text of forty "
        "characters from outside would stop the run for years.",
        'output: {type: string, pattern: "^([a-z]+)+$"}\n',
        'output: {type: string, pattern: "^[a-z]+$"}\n',
    ),
    Rule(
        "AW533", "retry-never", "a kind of failure that is never tried again",
        "A kind with a slip in it matches no failure, and what a person, a budget or a permission "
        "refused is tried again by nobody; so the step fails where its author believes that it is "
        "tried again. Tools and agents of plugins may have kinds of their own: only what is nearly a "
        "known one is warned of.",
        "retry: {times: 3, on: [time_out]}\n", "retry: {times: 3, on: [timeout]}\n",
    ),
)  # fmt: skip
