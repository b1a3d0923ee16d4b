"""AW1xx: names, and what refers to them."""

from __future__ import annotations

from aiworkflow.diagnostics.rule import Rule

RULES = (
    Rule(
        "AW101", "id-from-heading", "a heading that gives no id for its step",
        "The id is made from the heading: lower case, everything but letters and digits to `_`. "
        "One that is empty, begins with a digit or is a word of expressions cannot be referred to.",
        "## 2nd look\n\n```bash step\necho looking\n```\n",
        "## 2nd look\n\n```bash step id=second_look\necho looking\n```\n",
    ),
    Rule(
        "AW102", "id-twice", "two steps with one id",
        "`steps.build` would mean either of them.",
        "## Build\n\n```bash step\nmake\n```\n\n## Build\n\n```bash step\nmake docs\n```\n",
        "## Build\n\n```bash step\nmake\n```\n\n## Build\n\n```bash step id=build_docs\n"
        "make docs\n```\n",
    ),
    Rule(
        "AW103", "unknown-step", "a reference to a step that does not exist",
        "It would fail only when the run comes there, after everything before it was paid for.",
        "## Build\n\n```bash step\nmake\n```\n\n## Report\n\n```bash step\necho done\n```\n\n"
        "```yaml step\nif: steps.biuld.output\n```\n",
        "## Build\n\n```bash step\nmake\n```\n\n## Report\n\n```bash step\necho done\n```\n\n"
        "```yaml step\nif: steps.build.output\n```\n",
    ),
    Rule(
        "AW104", "two-actions", "a step that does two things",
        "A step does one thing: what it is must not depend on which setting a reader looks at "
        "first.",
        "## Look\n\n```bash step\ngit status\n```\n\n```yaml step\nuses: git.status\n```\n",
        "## Look\n\n```yaml step\nuses: git.status\n```\n",
    ),
    Rule(
        "AW105", "nothing-to-do", "a step without anything to do",
        "A step without code, `uses` or another action is one for an agent, and its prose is the "
        "prompt: without any, the agent would be asked nothing.",
        "## Review\n\n```yaml step\ntimeout: 5m\n```\n",
        "## Review\n\n```yaml step\ntimeout: 5m\n```\n\nList what could break.\n",
    ),
    Rule(
        "AW106", "no-steps", "a workflow without steps",
        "A section is a step when it holds a fence with the word `step` after its language.",
        "## Build\n\n```bash\nmake\n```\n", "## Build\n\n```bash step\nmake\n```\n",
    ),
    Rule(
        "AW107", "workflow-name", "a name that is missing, or not the folder's",
        "The name stands in records, URLs and skills. Two names for one thing would have to be "
        "looked up each time.",
        "---\nname: code-reveiw\n---\n\n# Code review\n\n## Build\n\n```bash step\nmake\n```\n",
        "---\nname: code-review\n---\n\n# Code review\n\n## Build\n\n```bash step\nmake\n```\n",
    ),
    Rule(
        "AW108", "unknown-name", "a name that is not defined where it is read",
        "Expressions read `inputs`, `steps.<id>`, `state`, `run`, `env`, `trigger`, and within "
        "`each` and `until` the item and the round. A name that is not there is an error, never an "
        "empty text.",
        "## Greet\n\n```yaml step\n```\n\nGreet {{ inputs.nmae }}.\n",
        "---\nname: code-review\ninputs: {name: string}\n---\n\n# Greetings\n\n"
        "## Greet\n\n```yaml step\n```\n\nGreet {{ inputs.name }}.\n",
    ),
    Rule(
        "AW109", "not-yet-run", "a reference to a step that may not have ended by then",
        "A step can read what has certainly ended or been skipped before it, by the order of the "
        "document or by `needs`. References never create order.",
        "## First\n\n```bash step\necho one\n```\n\n```yaml step\nif: steps.second.output\n```\n\n"
        "## Second\n\n```bash step\necho two\n```\n",
        "## Second\n\n```bash step\necho two\n```\n\n"
        "## First\n\n```bash step\necho one\n```\n\n```yaml step\nif: steps.second.output\n```\n",
    ),
    Rule(
        "AW110", "unknown-tool", "`uses` with a tool that is not there",
        "Tools are the scripts in tools/, the built-ins `http`, `file`, `git` and `template`, and "
        "what plugins and MCP servers bring.",
        "## Read\n\n```yaml step\nuses: fiel.read\nwith: {path: README.md}\n```\n",
        "## Read\n\n```yaml step\nuses: file.read\nwith: {path: README.md}\n```\n",
    ),
    Rule(
        "AW111", "unknown-operation", "an operation that the tool does not have",
        "The call could only fail.",
        "## Read\n\n```yaml step\nuses: file.raed\nwith: {path: README.md}\n```\n",
        "## Read\n\n```yaml step\nuses: file.read\nwith: {path: README.md}\n```\n",
    ),
    Rule(
        "AW112", "unknown-argument", "an argument that the operation does not take",
        "It would be passed over, and the call would do something else than it says.",
        "## Show\n\n```yaml step\nuses: github.show\nwith: {nubmer: 3, number: 3}\n```\n",
        "## Show\n\n```yaml step\nuses: github.show\nwith: {number: 3}\n```\n",
    ),
    Rule(
        "AW113", "missing-argument", "a required argument that is not given",
        "The call could only fail; and of a trigger that leaves out a required input, no run could "
        "ever start.",
        "## Show\n\n```yaml step\nuses: github.show\n```\n",
        "## Show\n\n```yaml step\nuses: github.show\nwith: {number: 3}\n```\n",
    ),
    Rule(
        "AW114", "agent-tool-without-inputs", "a tool for an agent that does not say what it takes",
        "An agent is told what a tool takes. Without declared inputs it would have to guess, and "
        "nothing could be checked before the call.",
        "## Look\n\n```yaml step\ntools: [open]\n```\n\nLook at it.\n",
        "## Look\n\n```yaml step\ntools: [github.show]\n```\n\nLook at it.\n",
    ),
    Rule(
        "AW115", "no-trigger", "`trigger` in a workflow that nothing triggers",
        "Started by hand there is no event to read from; only `trigger.type` is there.",
        "## Greet\n\n```yaml step\n```\n\nAnswer {{ trigger.body.text }}.\n",
        "---\nname: code-review\ninputs: {text: string}\n---\n\n# Answers\n\n"
        "## Greet\n\n```yaml step\n```\n\nAnswer {{ inputs.text }}.\n",
    ),
    Rule(
        "AW116", "maybe-null", "a field of an output that may be null",
        "The output of a step is null when the step is skipped, or fails with "
        "`on_error: continue`; reading a field of null fails at run time.",
        "## Count\n\n```yaml step\nif: run.id == \"1\"\noutput: {n: integer}\n```\n\nCount.\n\n"
        "## Tell\n\n```yaml step\n```\n\nThere are {{ steps.count.output.n }}.\n",
        "## Count\n\n```yaml step\noutput: {n: integer}\n```\n\nCount.\n\n"
        "## Tell\n\n```yaml step\n```\n\nThere are {{ steps.count.output.n }}.\n",
    ),
    Rule(
        "AW117", "each-not-a-list", "`each` over something that is no list",
        "A text is not gone through letter by letter, nor an object field by field: say how it "
        "becomes a list.",
        "---\nname: code-review\ninputs: {files: string}\n---\n\n# Files\n\n"
        "## Check\n\n```bash step\ntrue\n```\n\n```yaml step\neach: inputs.files\n```\n",
        "---\nname: code-review\ninputs: {files: string}\n---\n\n# Files\n\n"
        "## Check\n\n```bash step\ntrue\n```\n\n```yaml step\n"
        "each: inputs.files | lines\n```\n",
    ),
    Rule(
        "AW118", "too-many-steps", "more steps than a workflow can have",
        "Nobody can review a workflow of more than 500 steps. Split it into workflows that call "
        "each other, or go through a list with `each`.",
        "501 steps\n", "10 steps\n",
    ),
    Rule(
        "AW130", "two-undos", "a step with two ways to take it back",
        "Only one of them can run, and which one must not depend on the order of the document.",
        "## Post\n\n```bash step\ntouch out\n```\n\n```bash undo\nrm out\n```\n\n"
        "```yaml step\nundo: {uses: git.status}\n```\n",
        "## Post\n\n```bash step\ntouch out\n```\n\n```bash undo\nrm out\n```\n",
    ),
    Rule(
        "AW131", "goto-not-back", "a `goto` that does not lead back in a sequence",
        "Going on with an earlier step repeats what lies between. That is clear only where steps "
        "run one after the other.",
        "## Draft\n\n```bash step\necho draft\n```\n\n## Check\n\n```bash step\ntest -s out\n```\n\n"
        "```yaml step\non_error: {goto: publish, max_visits: 3}\n```\n\n"
        "## Publish\n\n```bash step\necho publish\n```\n",
        "## Draft\n\n```bash step\necho draft\n```\n\n## Check\n\n```bash step\ntest -s out\n```\n\n"
        "```yaml step\non_error: {goto: draft, max_visits: 3}\n```\n\n"
        "## Publish\n\n```bash step\necho publish\n```\n",
    ),
    Rule(
        "AW132", "unknown-workflow", "a call of a workflow that is not there",
        "What is called is read and checked with the bundle and kept with the run: it has to be there, "
        "and within the project.",
        "## Release\n\n```yaml step\nworkflow: ../relaese\n```\n",
        "## Release\n\n```yaml step\nworkflow: ../release\n```\n",
    ),
    Rule(
        "AW133", "workflows-in-a-circle", "workflows that call each other without end",
        "A run that calls itself would never end. What is to be repeated is written with `until`, "
        "`each` or `goto`, which are bounded.",
        "## Again\n\n```yaml step\nworkflow: ../code-review\n```\n",
        "## Again\n\n```yaml step\nuntil: steps.check.output.ok\nmax_rounds: 3\n```\n\n### Check\n\n"
        "```bash step\necho '{\"ok\": true}'\n```\n",
    ),
    Rule(
        "AW134", "unknown-session", "a bound of a session that no step has",
        "Nothing would come of it.",
        "---\nname: code-review\nsessions: {desing: {tokens: 20k}}\n---\n\n# Design\n\n"
        "## Sketch\n\n```yaml step\nsession: design\n```\n\nSketch it.\n",
        "---\nname: code-review\nsessions: {design: {tokens: 20k}}\n---\n\n# Design\n\n"
        "## Sketch\n\n```yaml step\nsession: design\n```\n\nSketch it.\n",
    ),
    Rule(
        "AW119", "computed-step", "a step whose name is computed, or all steps at once",
        "Which steps an expression reads decides what must have ended before it, and whether its "
        "value can be trusted. Both are known before the run only if the name is written out.",
        "---\nname: code-review\ninputs: {which: string}\n---\n\n# Builds\n\n"
        "## Build\n\n```bash step\nmake\n```\n\n## Show\n\n```bash step\ntrue\n```\n\n"
        "```yaml step\nwith: {log: \"{{ steps[inputs.which].output }}\"}\n```\n",
        "---\nname: code-review\ninputs: {which: string}\n---\n\n# Builds\n\n"
        "## Build\n\n```bash step\nmake\n```\n\n## Show\n\n```bash step\ntrue\n```\n\n"
        "```yaml step\nwith: {log: \"{{ steps.build.output }}\"}\n```\n",
    ),
    Rule(
        "AW120", "finally-not-last", "a step after a `finally` step that is not `finally`",
        "`finally` steps run after success, failure or cancel, so they come last.",
        "## Clean\n\n```bash step\nrm -f out\n```\n\n```yaml step\nfinally: true\n```\n\n"
        "## Build\n\n```bash step\nmake\n```\n",
        "## Build\n\n```bash step\nmake\n```\n\n## Clean\n\n```bash step\nrm -f out\n```\n\n"
        "```yaml step\nfinally: true\n```\n",
    ),
    Rule(
        "AW121", "else-without-if", "`else` that does not come after a step with `if`",
        "`else: true` is the other branch of the step directly before it.",
        "## Build\n\n```bash step\nmake\n```\n\n## Otherwise\n\n```bash step\necho no\n```\n\n"
        "```yaml step\nelse: true\n```\n",
        "## Build\n\n```bash step\nmake\n```\n\n```yaml step\nif: run.id == \"1\"\n```\n\n"
        "## Otherwise\n\n```bash step\necho no\n```\n\n```yaml step\nelse: true\n```\n",
    ),
    Rule(
        "AW122", "impossible-need", "`needs` that can never be met",
        "A step can wait neither for itself nor for one that runs after all the others.",
        "## Build\n\n```bash step\nmake\n```\n\n```yaml step\nneeds: [build]\n```\n",
        "## Build\n\n```bash step\nmake\n```\n",
    ),
    Rule(
        "AW123", "circle-of-needs", "steps that wait for each other",
        "None of them could ever start.",
        "## One\n\n```bash step\necho 1\n```\n\n```yaml step\nneeds: [two]\n```\n\n"
        "## Two\n\n```bash step\necho 2\n```\n\n```yaml step\nneeds: [one]\n```\n",
        "## One\n\n```bash step\necho 1\n```\n\n"
        "## Two\n\n```bash step\necho 2\n```\n\n```yaml step\nneeds: [one]\n```\n",
    ),
    Rule(
        "AW124", "undeclared-state", "`set` of a value that `state` does not declare",
        "The declaration says how writes are put together, so there must be one.",
        "## Note\n\n```yaml step\nset: {best: 1}\n```\n",
        "---\nname: code-review\nstate: {best: {reduce: max}}\n---\n\n# Notes\n\n"
        "## Note\n\n```yaml step\nset: {best: 1}\n```\n",
    ),
    Rule(
        "AW125", "last-of-several", "`last` for a value that is written from several places at once",
        "Which write is the last one would be chance. Reducers that do not depend on it, such as "
        "`append`, put the writes together in the order of the document and of the items.",
        "---\nname: code-review\nstate: {seen: {reduce: last}}\n---\n\n# Notes\n\n"
        "## Note\n\n```yaml step\neach: range(3)\nset: {seen: \"{{ item }}\"}\n```\n",
        "---\nname: code-review\nstate: {seen: {reduce: append}}\n---\n\n# Notes\n\n"
        "## Note\n\n```yaml step\neach: range(3)\nset: {seen: \"{{ item }}\"}\n```\n",
    ),
    Rule(
        "AW126", "reducer-with-effect", "a reducer that touches the outside",
        "A reducer is run to put values together, maybe again after a crash; it must only compute.",
        "---\nname: code-review\nstate: {seen: {reduce: github.comment}}\n---\n\n# Notes\n\n"
        "## Note\n\n```yaml step\nset: {seen: 1}\n```\n",
        "---\nname: code-review\nstate: {seen: {reduce: github.show}}\n---\n\n# Notes\n\n"
        "## Note\n\n```yaml step\nset: {seen: 1}\n```\n",
    ),
    Rule(
        "AW127", "argument-type", "an argument that does not fit what the operation takes",
        "The call could only fail; and with an input that does not fit, no run of a trigger could "
        "start.",
        "## Show\n\n```yaml step\nuses: github.show\nwith: {number: three}\n```\n",
        "## Show\n\n```yaml step\nuses: github.show\nwith: {number: 3}\n```\n",
    ),
    Rule(
        "AW128", "item-twice", "an `each` within an `each` whose item has the same name",
        "The name would mean either item, and a reader has to count headings to know which.",
        "## Folders\n\n```yaml step\neach: range(2)\n```\n\n### Files\n\n```bash step\ntrue\n"
        "```\n\n```yaml step\neach: range(3)\n```\n",
        "## Folders\n\n```yaml step\neach: range(2)\n```\n\n### Files\n\n```bash step\ntrue\n"
        "```\n\n```yaml step\neach: range(3)\nas: file\n```\n",
    ),
    Rule(
        "AW129", "session-together", "steps of one session that may run at the same time",
        "A conversation is one thing after the other: which step speaks first would be chance.",
        "## Sketch\n\n```yaml step\nsession: design\n```\n\nSketch it.\n\n"
        "## Name\n\n```yaml step\nsession: design\nneeds: []\n```\n\nName it.\n",
        "## Sketch\n\n```yaml step\nsession: design\n```\n\nSketch it.\n\n"
        "## Name\n\n```yaml step\nsession: design\n```\n\nName it.\n",
    ),
)  # fmt: skip
