"""AW6xx: tools.yaml and config.yaml."""

from __future__ import annotations

from aiworkflow.diagnostics.rule import Rule

RULES = (
    Rule(
        "AW601", "unknown-tool-setting", "a setting of tools.yaml that does not exist",
        "A setting with a slip in its name would silently not hold; for `effect` or `network` that "
        "is dangerous.",
        "github: {efect: write}\n", "github: {effect: write}\n",
    ),
    Rule(
        "AW602", "tool-or-operation", "a setting of one operation on a tool with several",
        "It would not be clear which operation takes these inputs.",
        "github: {inputs: {body: string}, operations: {comment: {effect: write}}}\n",
        "github: {operations: {comment: {inputs: {body: string}, effect: write}}}\n",
    ),
    Rule(
        "AW603", "no-such-operation", "`check` or `undo` that names no operation of the tool",
        "The effect could be neither found nor taken back when it matters.",
        "github: {operations: {comment: {undo: delete}}}\n",
        "github: {operations: {comment: {undo: delete}, delete: {}}}\n",
    ),
    Rule(
        "AW604", "tool-name", "a name that no tool or operation can have",
        "`uses: tool.operation` names both, so neither holds dots or spaces.",
        "git.hub: {effect: read}\n", "github: {effect: read}\n",
    ),
    Rule(
        "AW605", "tool-like-built-in", "a script in tools/ that is named like a built-in tool",
        "`uses: file.read` would mean either of them.",
        "tools/file.py\n", "tools/files.py\n",
    ),
    Rule(
        "AW606", "two-scripts", "two scripts in tools/ for one tool",
        "A tool is called by the name of its file without the ending, so these two are one tool.",
        "tools/github.py\ntools/github.sh\n", "tools/github.py\n",
    ),
    Rule(
        "AW607", "tool-without-script", "a tool in tools.yaml that has no script",
        "What is declared there holds for a script in tools/; without one, it holds for nothing.",
        "githbu: {effect: write}\n", "github: {effect: write}\n",
    ),
    Rule(
        "AW651", "unknown-config-setting", "a setting of config.yaml or repos.yaml that does not exist",
        "A setting with a slip in its name would silently not hold.",
        "limit: {max_parallel: 3}\n", "limits: {max_parallel: 3}\n",
    ),
    Rule(
        "AW652", "agent-name", "a default agent that is nearly one of `agents`",
        "A slip in the name would ask another agent, or none.",
        "agent: lokal\nagents: {local: {api: ollama}}\n",
        "agent: local\nagents: {local: {api: ollama}}\n",
    ),
    Rule(
        "AW653", "key-in-config", "a key where the name of its variable is meant",
        "A key in a file ends up in git, and from then on belongs to whoever can read it.",
        "agents: {a: {api: anthropic, key: sk-ant-api03-AbCdEfGhIjKlMnOpQrStUv}}\n",
        "agents: {a: {api: anthropic, key: ANTHROPIC_API_KEY}}\n",
    ),
    Rule(
        "AW654", "config-file", "a config.yaml, repos.yaml or .mcp.json that cannot be read",
        "Settings that limit what runs may do would silently not hold.",
        "\xff\n", "limits: {max_parallel: 3}\n",
    ),
)  # fmt: skip
