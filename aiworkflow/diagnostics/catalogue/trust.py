"""AW7xx: permissions, secrets, effects, and what comes from outside."""

from __future__ import annotations

from aiworkflow.diagnostics.rule import Rule

_HEAD = "---\nname: code-review\n{}---\n\n# Code review\n\n"
_GET = "## Get\n\n```yaml step\nuses: http.get\nwith: {url: https://api.github.com/zen}\n```\n"
_SCRIPT = "## Post\n\n```bash step\necho posting\n```\n\n```yaml step\n{}\n```\n"
_ASKS = 'env: {TOKEN: "{{ secrets.GITHUB_TOKEN }}"}'

RULES = (
    Rule(
        "AW701", "weaker-effect", "an `effect` that makes less of what the tool declares",
        "What a tool does is known to the one who wrote it: a step may call it more dangerous, "
        "never less.",
        _HEAD.format('allow: {paths: ["out/**"]}\n')
        + "## Save\n\n```yaml step\nuses: file.write\neffect: read\n"
        "with: {path: out/a.txt, content: hello}\n```\n",
        _HEAD.format('allow: {paths: ["out/**"]}\n')
        + "## Save\n\n```yaml step\nuses: file.write\n"
        "with: {path: out/a.txt, content: hello}\n```\n",
    ),
    Rule(
        "AW702", "write-not-allowed", "a write that `allow.write` does not name",
        "Permissions stand in one place, the frontmatter, so that a reviewer sees all of them.",
        _HEAD.format("")
        + "## Save\n\n```yaml step\nuses: git.commit\nwith: {message: done, paths: [a.txt]}\n```\n",
        _HEAD.format("allow: {write: [git.commit]}\n")
        + "## Save\n\n```yaml step\nuses: git.commit\nwith: {message: done, paths: [a.txt]}\n```\n",
    ),
    Rule(
        "AW703", "network-not-allowed", "a host that `allow.network` does not name",
        "Nothing talks to the network unless the frontmatter names the host.",
        _HEAD.format("") + _GET,
        _HEAD.format("allow: {network: [api.github.com]}\n") + _GET,
    ),
    Rule(
        "AW704", "secret-not-allowed", "a secret that `allow.secrets` does not name",
        "A step gets a secret only if it asks for it, and the frontmatter agrees.",
        _HEAD.format("") + _SCRIPT.replace("{}", _ASKS),
        _HEAD.format("allow: {secrets: [GITHUB_TOKEN]}\n") + _SCRIPT.replace("{}", _ASKS),
    ),
    Rule(
        "AW705", "path-not-allowed", "a step that writes files where no place is allowed",
        "Nothing is written but in the run's scratch folder, unless `allow.paths` names the place.",
        _HEAD.format("")
        + "## Save\n\n```yaml step\nuses: file.write\n"
        "with: {path: out/a.txt, content: hello}\n```\n",
        _HEAD.format('allow: {paths: ["out/**"]}\n')
        + "## Save\n\n```yaml step\nuses: file.write\n"
        "with: {path: out/a.txt, content: hello}\n```\n",
    ),
    Rule(
        "AW706", "wider-allow", "a step's `allow` that widens the frontmatter's",
        "Permissions stand in the frontmatter; a step can only narrow them.",
        _HEAD.format("") + _SCRIPT.replace("{}", "allow: {network: [example.com]}"),
        _HEAD.format("allow: {network: [example.com]}\n")
        + _SCRIPT.replace("{}", "allow: {network: [example.com]}"),
    ),
    Rule(
        "AW707", "secret-in-expression", "a secret outside of `env`",
        "A secret reaches only the step that asks for it by name, never a prompt, an output or a "
        "record.",
        _HEAD.format("allow: {secrets: [GITHUB_TOKEN]}\n")
        + "## Ask\n\n```yaml step\n```\n\nLog in with {{ secrets.GITHUB_TOKEN }}.\n",
        _HEAD.format("allow: {secrets: [GITHUB_TOKEN]}\n") + _SCRIPT.replace("{}", _ASKS),
    ),
    Rule(
        "AW708", "signing-secret-allowed", "a secret of steps that a webhook's sender signs with",
        "Whoever has it can start runs in the sender's name. It is for checking signatures alone; a "
        "step that talks to the sender has a token of its own.",
        _HEAD.format(
            "on: {webhook: {path: /hook, verify: {github: HOOK}}}\nallow: {secrets: [HOOK]}\n"
        )
        + _SCRIPT.replace("{}", "timeout: 5m"),
        _HEAD.format(
            "on: {webhook: {path: /hook, verify: {github: HOOK}}}\nallow: {secrets: [GITHUB_TOKEN]}\n"
        )
        + _SCRIPT.replace("{}", _ASKS),
    ),
    Rule(
        "AW710", "tainted-power", "text from outside that reaches a write, the network or a secret",
        "Whoever can write that text (a comment, a web page, a mail) could steer what the step "
        "does. Let only bounded values through, or have a person approve what is done.",
        _HEAD.format(
            "on: {webhook: {path: /hook, verify: {github: WEBHOOK_ASKS}}}\n"
            "allow: {write: [git.commit]}\n"
        )
        + '## Save\n\n```yaml step\nuses: git.commit\nwith: {message: "{{ trigger.body.text }}", '
        "paths: [a.txt]}\n```\n",
        _HEAD.format(
            "on: {webhook: {path: /hook, verify: {github: WEBHOOK_ASKS}}}\n"
            "allow: {write: [git.commit]}\n"
        )
        + "## Save\n\n```yaml step\nuses: git.commit\napprove: true\n"
        'with: {message: "{{ trigger.body.text }}", paths: [a.txt]}\n```\n',
    ),
)  # fmt: skip
