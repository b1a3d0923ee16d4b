"""Cases of bundles, recorded and replayed through the command: what a test of a workflow is."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from tests.contract.agents.model_server import ModelServer
from tests.support import Project, script

GET = script("get", 'echo "facts of $INPUT_TOPIC"')
ASK = (
    "## Ask\n\n```yaml step\nid: ask\noutput: {score: integer, note: string}\n```\n\n"
    "Please score what follows, and say why in a few words.\n\n{{ steps.get.output }}\n\nThank you.\n\n"
)
SAVE = """\
## Save

```yaml step
id: save
uses: box.put
with: {text: "{{ steps.ask.output.note }}"}
```

"""
BOX = """\
import pathlib, sys
pathlib.Path("box.txt").open("a").write(sys.argv[2] + "\\n")
print('{"kept": true}')
"""
HEAD = (
    "inputs: {topic: {type: string, default: bees}}\n"
    "allow: {write: [box.put]}\n"
    'outputs: {score: "{{ steps.ask.output.score }}", kept: "{{ steps.save.output.kept }}"}\n'
)
TOOLS = "box:\n  operations:\n    put: {effect: write, inputs: {text: string}}\n"
GOOD = {"score": 7, "note": "busy"}


def bundle(project: Project, ask: str = ASK, get: str = GET) -> None:
    get = get.replace("id=get", "id=get").replace(
        "```bash step id=get", "```yaml step\nid: get\neffect: read\n```\n\n```bash step"
    )
    project.workflow(get + ask + SAVE, head=HEAD, box=BOX)
    project.write("bundles/flow/tools.yaml", TOOLS)


def record(
    project: Project, *words: str, answers: Any = (GOOD,), code: int = 0, **env: str
) -> None:
    with ModelServer(list(answers)) as server:
        around = {"ANTHROPIC_BASE_URL": server.url, "ANTHROPIC_API_KEY": "sk-never-shown", **env}
        done = project.run("run", "flow", "--agent", "anthropic/m1", *words, **around)
        assert done.code == code, done.out + done.err


def case(project: Project, path: str, name: str = "good") -> str:
    return (project.root / f"bundles/flow/tests/{name}/{path}").read_text()


def test_a_recorded_run_is_replayed_without_agent_key_effect_or_network(project: Project) -> None:
    bundle(project)
    record(project, "--record", "good")
    assert (project.root / "box.txt").read_text() == "--text=busy\n"
    answer = case(project, "answers/ask.md")
    head, _, body = answer.removeprefix("---\n").partition("\n---\n")
    assert "agent: anthropic/m1" in head
    assert "tokens: {input: 15, cached: 5, output: 7}" in head
    assert body == '{\n  "score": 7,\n  "note": "busy"\n}\n'
    assert "facts of bees" in case(project, "prompts/ask.md")
    assert case(project, "answers/save.yaml") == "with: {text: busy}\noutput: {kept: true}\n"
    assert "effects: {save: box.put}" in case(project, "expect.yaml")

    done = project.run("bundle", "test", "flow")
    assert done.code == 0, done.out + done.err
    assert "✓ good" in done.out
    assert "1 case, all passed" in done.out
    assert (project.root / "box.txt").read_text() == "--text=busy\n", "nothing was done again"


def test_the_first_difference_is_shown_for_a_prompt_that_is_another(project: Project) -> None:
    bundle(project)
    record(project, "--record", "good")
    bundle(project, ASK.replace("say why in a few words", "say why in one word"))
    done = project.run("bundle", "test", "flow")
    assert done.code == 1
    assert "✗ good" in done.out
    assert "ask: the prompt is not the one of answers/ask.md" in done.out
    assert "line 1, recorded: " in done.out
    assert "say why in a few words" in done.out
    assert "now: " in done.out
    assert "say why in one word" in done.out
    assert "aiworkflow bundle test bundles/flow --case good --update" in done.out
    assert "aiworkflow run bundles/flow --record good --force" in done.out

    done = project.run("bundle", "test", "flow", "--update")
    assert done.code == 0, done.out + done.err
    assert "✓ good" in done.out
    assert "(updated)" in done.out
    assert "-Please score what follows, and say why in a few words." in done.out
    assert "+Please score what follows, and say why in one word." in done.out
    assert project.run("bundle", "test", "flow").code == 0
    assert "(updated)" not in project.run("bundle", "test", "flow", "--update").out


def test_a_script_that_only_reads_is_run_and_a_change_of_it_is_found(project: Project) -> None:
    bundle(project)
    record(project, "--record", "good")
    bundle(project, get=script("get", 'echo "news of $INPUT_TOPIC"'))
    done = project.run("bundle", "test", "flow", "--json")
    assert done.code == 1
    (miss,) = done.json["bundles"][0]["cases"][0]["misses"]
    assert miss["step"] == "ask"
    assert miss["nearest"] == "ask.md"
    assert miss["line"] == 3
    assert "facts of bees" in miss["recorded"]
    assert "news of bees" in miss["now"]


def test_what_a_tool_is_given_must_be_what_was_recorded(project: Project) -> None:
    bundle(project)
    record(project, "--record", "good")
    path = project.root / "bundles/flow/tests/good/answers/ask.md"
    path.write_text(path.read_text().replace("busy", "lazy"))
    done = project.run("bundle", "test", "flow")
    assert done.code == 1
    assert "save: what it is given is not the one of answers/save.yaml" in done.out
    assert '"text": "busy"' in done.out
    assert '"text": "lazy"' in done.out


def test_what_is_not_expected_is_said_line_by_line(project: Project) -> None:
    bundle(project)
    record(project, "--record", "good")
    project.write(
        "bundles/flow/tests/good/expect.yaml",
        "status: failed\noutputs: {score: 8, kept: {matches: ^fal}, other: 1}\n"
        "steps: {get: skipped}\neffects: {}\n",
    )
    out = project.run("bundle", "test", "flow").out
    assert "status: expected failed, and it succeeded" in out
    assert "outputs.score: expected 8, and it is 7" in out
    assert "outputs.kept: true does not match ^fal" in out
    assert "outputs.other: there is none" in out
    assert "steps.get: expected skipped, and it is succeeded" in out
    assert "effects.save: box.put was not expected to act" in out
    assert "1 case, 1 failed" in out

    done = project.run("bundle", "test", "flow", "--update")
    assert done.code == 0, done.out
    assert case(project, "expect.yaml").startswith(
        "status: succeeded\noutputs: {score: 7, kept: true}\n"
    )


def test_a_pattern_stays_a_pattern_when_expectations_are_updated(project: Project) -> None:
    bundle(project)
    record(project, "--record", "good")
    text = "# by hand\nstatus: succeeded\noutputs:\n  score: {matches: '[0-9]'}\n  kept: true\n"
    project.write("bundles/flow/tests/good/expect.yaml", text)
    assert project.run("bundle", "test", "flow", "--update").code == 0
    assert case(project, "expect.yaml") == text


def test_a_failed_run_becomes_a_case_that_fails_the_same_way(project: Project) -> None:
    bundle(project)
    with ModelServer([{"score": "high"}]) as server:
        env = {"ANTHROPIC_BASE_URL": server.url, "ANTHROPIC_API_KEY": "sk-never-shown"}
        failed = project.run("run", "flow", "--agent", "anthropic/m1", "--json", **env)
    assert failed.code == 1
    done = project.run("bundle", "test", "add", "last", "--name", "bad-answer", "--json")
    assert done.code == 0, done.err
    assert done.json["replays"] is True
    assert done.json["status"] == "failed"
    assert "kind: bad_output" in case(project, "answers/ask.md", "bad-answer")
    done = project.run("bundle", "test", "flow", "--case", "bad-answer", "--json")
    assert done.code == 0, done.out
    (found,) = done.json["bundles"][0]["cases"]
    assert found["status"] == "failed"
    taken = project.run("bundle", "test", "add", "last", "--name", "bad-answer")
    assert taken.code == 2
    assert "there is a case `bad-answer` already" in taken.err
    assert "--force" in taken.err


def test_people_times_rounds_items_and_children_replay(project: Project) -> None:
    project.workflow(
        script("one", 'echo "one $INPUT_WHAT"'),
        name="inner",
        head="inputs: {what: string}\noutputs: {it: '{{ steps.one.output }}'}\n",
    )
    ask = "## Name\n\n```yaml step\nid: name\nask: {fields: {who: string}}\n```\n\nWho?\n\n"
    gate = "## Gate\n\n```yaml step\nid: gate\napprove: {by: lead}\n```\n\n"
    wait = "## Wait\n\n```yaml step\nid: wait\nwait: 3d\n```\n\n"
    event = "## Paid\n\n```yaml step\nid: paid\nwait: {event: paid}\n```\n\n"
    each = (
        "## Say\n\n```yaml step\nid: say\neach: '[1, 2, 3]'\nretry: {times: 1, base: 4s, jitter: 0}\n```\n\n"
        "Number {{ item }} for {{ steps.name.output.who }}\n\n"
    )
    child = "## Call\n\n```yaml step\nid: call\nworkflow: ../inner\nwith: {what: '{{ steps.say.output[1] }}'}\n```\n\n"
    head = "outputs: {all: '{{ steps.say.output }}', amount: '{{ steps.paid.output.amount }}', it: '{{ steps.call.output.it }}'}\n"
    project.workflow(ask + gate + wait + event + each + child, head=head)
    project.write(".aiworkflow/config.yaml", "roles: {lead: [ann]}\n")
    answers = "bundles/flow/tests/by-hand/answers/"
    for number in (1, 2, 3):
        project.write(f"{answers}say[{number - 1}].md", f"said {number}\n")
    project.write(f"{answers}say[1].md", "---\nerror: {kind: unavailable, message: gone}\n---\n")
    project.write(f"{answers}say[1].2.md", "said 2 at last\n")
    project.write(
        "bundles/flow/tests/by-hand/case.yaml",
        "people:\n  name: {answer: {who: Ada}}\n  gate: approve\n  paid: {signal: {amount: 12}}\n",
    )
    project.write(
        "bundles/flow/tests/by-hand/expect.yaml",
        "status: succeeded\n"
        'outputs: {all: [said 1, said 2 at last, said 3], amount: 12, it: "one said 2 at last"}\n'
        'steps: {"say[1]": succeeded, call: succeeded}\neffects: {}\n',
    )
    done = project.run("bundle", "test", "flow", timeout=20)
    assert done.code == 0, done.out + done.err

    case_file = "bundles/flow/tests/by-hand/case.yaml"
    project.write(
        case_file, "people:\n  name: {answer: {who: Ada}}\n  gate: {reject: no, by: ann}\n"
    )
    out = project.run("bundle", "test", "flow").out
    assert "status: expected succeeded, and it failed in `gate`: rejected" in out
    project.write(
        case_file, "people:\n  name: {answer: {who: Ada}}\n  gate: {approve: , by: bob}\n"
    )
    assert "`bob` may not answer" in project.run("bundle", "test", "flow").out
    project.write(case_file, "people:\n  name: {answer: {what: Ada}}\n")
    assert "`what` is not a field" in project.run("bundle", "test", "flow").out
    project.write(case_file, "people: {}\n")
    out = project.run("bundle", "test", "flow").out
    assert "status: expected succeeded, and it waits for `name` (ask)" in out


def test_a_recorded_run_with_people_children_and_undo_replays(project: Project) -> None:
    project.workflow(
        script("put", "echo put"),
        name="inner",
        head="allow: {paths: [x]}\noutputs: {it: '{{ steps.put.output }}'}\n",
    )
    ask = "## Name\n\n```yaml step\nid: name\nask: {fields: {who: string}}\n```\n\nWho?\n\n"
    child = "## Call\n\n```yaml step\nid: call\nworkflow: ../inner\n```\n\n"
    undone = "## Charge\n\n```yaml step\nid: charge\nundo: {uses: box.take, with: {text: '{{ steps.charge.output }}'}}\n```\n\n```bash step\necho charged >> log; echo c1\n```\n\n"
    last = script("last", "exit 3", "retry: {times: 2, base: 100ms}\n")
    head = "allow: {write: [box.take], paths: [x]}\non_error: rollback\n"
    project.workflow(ask + child + undone + last, head=head, box=BOX)
    project.write(
        "bundles/flow/tools.yaml", "box:\n  operations:\n    take: {effect: idempotent}\n"
    )
    waits = project.run("run", "flow", "--json")
    assert waits.code == 3
    project.run("runs", "answer", "last", "-f", "who=Ada", "--json", timeout=120)
    added = project.run("bundle", "test", "add", "last", "--name", "taken-back", "--json")
    assert added.code == 0, added.err
    assert added.json["replays"] is True, added.err
    expected = case(project, "expect.yaml", "taken-back")
    assert "status: rolled_back" in expected
    assert "charge/undo: box.take" in expected
    assert (project.root / "bundles/flow/tests/taken-back/answers/call/put.yaml").is_file()
    before = (project.root / "log").read_text()
    done = project.run("bundle", "test", "flow")
    assert done.code == 0, done.out
    assert (project.root / "log").read_text() == before


def test_no_secret_is_written_in_any_form(project: Project) -> None:
    import base64
    from urllib.parse import quote

    secret = 'top"secret/with+odd=signs'
    forms = [secret, quote(secret, safe=""), json.dumps(secret)[1:-1]]
    forms += [base64.b64encode(secret.encode()).decode().rstrip("=")]
    bundle(project)
    note = " ".join(forms)
    record(
        project,
        "--record",
        "good",
        "-i",
        f"topic={note}",
        answers=[{"score": 1, "note": note}],
        MY_API_TOKEN=secret,
    )
    for path in (project.root / "bundles/flow/tests/good").rglob("*"):
        if path.is_file():
            text = path.read_text()
            assert not [form for form in forms if form in text], path
            assert "sk-never-shown" not in text
    assert project.run("bundle", "test", "flow").code == 0


def test_a_script_of_a_case_has_no_network(project: Project) -> None:
    code = (
        "```python step id=try effect=read\nimport socket\nlistener = socket.socket(); listener.bind(('127.0.0.1', 0)); listener.listen()\n"
        "try:\n    socket.create_connection(listener.getsockname(), 2)\n    print('open')\n"
        "except OSError as error:\n    print('closed')\n```\n"
    )
    body = "## Try\n\n" + code.replace(" effect=read", "")
    project.workflow(body, head="outputs: {network: '{{ steps.try.output }}'}\n")
    assert project.run("run", "flow", "--json").json["outputs"] == {"network": "open"}
    project.write("bundles/flow/tests/one/case.yaml", "inputs: {}\n")
    project.write("bundles/flow/tests/one/expect.yaml", "outputs: {network: closed}\n")
    done = project.run("bundle", "test", "flow", "--json")
    if done.json["network"] != "shut off":
        assert done.json["network"]
        pytest.skip(done.json["network"])
    assert done.code == 0, done.out


def test_an_unsteady_step_is_recorded_and_a_steady_one_is_run(project: Project) -> None:
    project.workflow(
        script("now", "date +%s.%N") + script("two", "echo $((1 + 1))"),
        head="outputs: {now: '{{ steps.now.output }}', two: '{{ steps.two.output }}'}\n",
    )
    recorded = project.run("run", "flow", "--record", "good", "--json")
    assert recorded.code == 0
    assert recorded.json["case"]["replays"] is True
    assert recorded.json["case"]["folder"].endswith("bundles/flow/tests/good")
    found = sorted(p.name for p in (project.root / "bundles/flow/tests/good/answers").iterdir())
    assert found == ["now.yaml"]
    assert project.run("bundle", "test", "flow").code == 0


def test_a_case_can_bring_its_own_files_env_and_steps_that_run(project: Project) -> None:
    project.workflow(
        script("read", "cat data.txt; echo $WHO", "env: {WHO: '{{ env.WHO }}'}\n")
        + script("write", "echo more >> data.txt; cat data.txt", "effect: write\n"),
        head="env: {WHO: nobody}\noutputs: {read: '{{ steps.read.output }}', write: '{{ steps.write.output }}'}\n",
    )
    project.write("data.txt", "of the project\n")
    folder = "bundles/flow/tests/own"
    project.write(f"{folder}/case.yaml", "env: {WHO: somebody}\nrun: [write]\n")
    project.write(f"{folder}/files/data.txt", "of the case\n")
    project.write(
        f"{folder}/expect.yaml",
        'outputs:\n  read: "of the case\\nsomebody"\n  write: "of the case\\nmore"\n',
    )
    done = project.run("bundle", "test", "flow")
    assert done.code == 0, done.out
    assert (project.root / "data.txt").read_text() == "of the project\n"
    assert (project.root / folder / "files/data.txt").read_text() == "of the case\n"
    project.write(f"{folder}/case.yaml", "replay: [read]\nrun: [write]\n")
    out = project.run("bundle", "test", "flow").out
    assert "read: there is no recording of an output" in out
    assert "or let it run in the test: its id under `run` of own/case.yaml" in out
    project.write(f"{folder}/case.yaml", "replay: [raed]\n")
    out = project.run("bundle", "test", "flow").out
    assert "names a step `raed` that is not there; did you mean `read`?" in out


def test_what_a_case_says_of_steps_that_are_not_there_is_not_passed_over(project: Project) -> None:
    project.workflow(script("read", "echo 1"))
    folder = "bundles/flow/tests/own"
    project.write(f"{folder}/case.yaml", "run: [read]\n")
    project.write(f"{folder}/expect.yaml", "steps: {read: succeded}\n")
    out = project.run("bundle", "test", "flow").out
    assert "no step is `succeded`, as `read` is to be; did you mean `succeeded`?" in out
    project.write(f"{folder}/expect.yaml", "steps: {read: succeeded}\n")
    answer = project.write(f"{folder}/answers/raed.2.yaml", "output: '1'\n")
    done = project.run("bundle", "test", "flow")
    assert done.code == 1
    said = "has answers/raed.2, and no step `raed` is there; did you mean `read`?"
    assert said in done.out
    answer.unlink()
    assert project.run("bundle", "test", "flow").code == 0


def test_junit_xml_says_what_failed(project: Project) -> None:
    bundle(project)
    record(project, "--record", "good")
    project.write("bundles/flow/tests/bad/case.yaml", "inputs: {topic: 1}\n")
    done = project.run("bundle", "test", "--junit", "out/junit.xml")
    assert done.code == 1
    suite = ET.fromstring((project.root / "out/junit.xml").read_text())[0]
    assert suite.attrib["name"] == "bundles/flow"
    assert (suite.attrib["tests"], suite.attrib["failures"]) == ("2", "1")
    bad, good = suite
    assert good.attrib["name"] == "good"
    assert not len(good)
    assert "`topic`" in (bad[0].text or "")


@pytest.mark.parametrize(
    ("files", "words", "said"),
    [
        ({}, ["bundle", "test"], "no bundle of this project has cases yet"),
        ({}, ["bundle", "test", "flow"], "bundle `bundles/flow` has no cases"),
        ({"case.yaml": ""}, ["bundle", "test", "flow", "--case", "onn"], "has no case `onn`"),
        ({"case.yaml": "input: {}"}, ["bundle", "test", "flow"], "`input` means nothing here"),
        (
            {"case.yaml": "people: {x: maybe}"},
            ["bundle", "test", "flow"],
            "says nothing that is known",
        ),
        ({"case.yaml": "run: 3"}, ["bundle", "test", "flow"], "`run` needs a list of ids of steps"),
        (
            {"case.yaml": "started: {at: noon}"},
            ["bundle", "test", "flow"],
            "needs a moment, not `noon`",
        ),
        (
            {"case.yaml": "", "expect.yaml": "state: x"},
            ["bundle", "test", "flow"],
            "`state` means nothing",
        ),
        (
            {"case.yaml": "", "expect.yaml": "status: fine"},
            ["bundle", "test", "flow"],
            "no run is `fine`",
        ),
        (
            {"case.yaml": "", "expect.yaml": "outputs: {a: {matches: '('}}"},
            ["bundle", "test", "flow"],
            "`matches: (` is no pattern",
        ),
        ({"case.yaml": "", "answers/ask.txt": ""}, ["bundle", "test", "flow"], "neither an answer"),
        (
            {"case.yaml": "", "answers/a.yaml": "x: 1"},
            ["bundle", "test", "flow"],
            "`x` means nothing here",
        ),
        (
            {"case.yaml": "", "answers/a.yaml": "with: {}"},
            ["bundle", "test", "flow"],
            "needs an `output` or",
        ),
        (
            {"case.yaml": "", "answers/a.md": "---\nwho: x\n---\n"},
            ["bundle", "test", "flow"],
            "`who` means nothing",
        ),
        (
            {"case.yaml": "", "answers/a.md": "---\nagent: x\n"},
            ["bundle", "test", "flow"],
            "no second one ends that",
        ),
        (
            {"case.yaml": "people: {get: approve}"},
            ["bundle", "test", "flow"],
            "people.get: nobody asked",
        ),
        ({}, ["run", "flow", "--record", "a b"], "`a b` cannot be a case's name"),
        ({"case.yaml": ""}, ["run", "flow", "--record", "one"], "there is a case `one` already"),
        (
            {},
            ["run", "lone.md", "--record", "one"],
            "is a lone file, and so has no place for cases",
        ),
        ({}, ["bundle", "test", "add"], "`add` takes a run"),
        ({}, ["bundle", "test", "a", "b"], "one bundle at a time"),
        ({}, ["bundle", "test", "flow", "--name", "x"], "--name and --force are for `add`"),
    ],
)
def test_what_cannot_be_used_is_said(
    project: Project, files: dict[str, str], words: list[str], said: str
) -> None:
    path = project.workflow(GET, head="inputs: {topic: {type: string, default: x}}\n")
    project.write(
        "lone.md",
        (project.root / path / "workflow.md").read_text().replace("name: flow", "name: lone"),
    )
    for name, text in files.items():
        project.write(f"bundles/flow/tests/one/{name}", text + "\n")
    done = project.run(*words)
    assert done.code in {1, 2}
    assert said in done.out + done.err
    assert "Traceback" not in done.err


def test_rounds_items_failover_and_first_of_several_replay_as_they_were(project: Project) -> None:
    body = (
        "## Improve\n\n```yaml step\nid: improve\nuntil: steps.rate.output.score > 5\nmax_rounds: 4\n```\n\n"
        "### Draft\n\n```yaml step\nid: draft\n```\n\nDraft {{ round }} after {{ steps.rate.output | default('nothing') | to_json }}\n\n"
        "### Rate\n\n```yaml step\nid: rate\noutput: {score: integer}\n```\n\nRate {{ steps.draft.output }}\n\n"
        "## Each\n\n```yaml step\nid: each\neach: '[1, 2, 3]'\non_error: continue\n```\n\nItem {{ item }}\n\n"
        "## Any\n\n```yaml step\nid: any\nparallel: any\n```\n\n"
        "### Left\n\n```yaml step\nid: left\n```\n\nLeft\n\n"
        "### Right\n\n```yaml step\nid: right\n```\n\nRight\n\n"
        "## Failing\n\n```yaml step\nid: failing\nagent: [openai/m2, anthropic/m1]\n```\n\nWho answers?\n\n"
    )
    project.workflow(
        body,
        head="agent: anthropic/m1\noutputs: {draft: '{{ steps.draft.output }}', items: '{{ steps.each.output }}', last: '{{ steps.failing.output }}'}\n".replace(
            "steps.draft.output", "steps.improve.output.draft"
        ),
    )
    answers = [
        "draft 1",
        {"score": 3},
        "draft 2",
        {"score": 9},
        "same",
    ]
    with ModelServer([(503, {}, "busy")]) as down, ModelServer(answers) as server:
        env = {
            "ANTHROPIC_BASE_URL": server.url,
            "ANTHROPIC_API_KEY": "sk-never-shown",
            "OPENAI_BASE_URL": down.url,
            "OPENAI_API_KEY": "sk-never-shown-too",
        }
        words = ("run", "flow", "--record", "rich", "--json")
        done = project.run(*words, **env)
    assert done.code == 0, done.out + done.err
    assert "does not replay" not in done.err
    assert done.json["outputs"]["draft"] == "draft 2"
    names = {p.name for p in (project.root / "bundles/flow/tests/rich/answers").iterdir()}
    assert {"improve#1.draft.md", "improve#2.rate.md", "each[2].md"} <= names
    assert {"failing.md", "failing.2.md"} <= names
    for _ in range(3):
        again = project.run("bundle", "test", "flow")
        assert again.code == 0, again.out


def test_of_all_bundles_one_that_is_invalid_fails_and_the_others_are_tested(
    project: Project,
) -> None:
    project.workflow(script("one", "echo 1"), name="good")
    project.workflow("## Broken\n\n```bash step id=1\n```\n", name="bad")
    for name in ("good", "bad"):
        project.write(f"bundles/{name}/tests/one/case.yaml", "inputs: {}\n")
    done = project.run("bundle", "test")
    assert done.code == 1
    assert "✓ one" in done.out
    assert "2 cases, 1 failed" in done.out
    assert "error[" in done.err
    found = project.run("bundle", "test", "--json").json
    assert [(one["bundle"], one["cases"][0]["passed"]) for one in found["bundles"]] == [
        ("bundles/bad", False),
        ("bundles/good", True),
    ]
    assert project.run("bundle", "test", "bad").code == 2
    assert (
        "bundle `bundles/good` has no case `two`"
        in project.run("bundle", "test", "good", "--case", "two").err
    )


def test_a_run_that_does_not_replay_is_expected_to_end_as_it_did(project: Project) -> None:
    ask = "## Ask\n\n```yaml step\nid: ask\nagent: echo\n```\n\nOne\n\n"
    project.workflow(ask, head="outputs: {o: '{{ steps.ask.output }}'}\n")
    assert project.run("run", "flow").code == 0
    page = project.root / "bundles/flow/workflow.md"
    page.write_text(page.read_text().replace("\nOne\n", "\nTwo\n"))
    done = project.run("bundle", "test", "add", "last", "--name", "old")
    assert "does not replay as it was" in done.out + done.err
    expected = project.root / "bundles/flow/tests/old/expect.yaml"
    assert "status: succeeded" in expected.read_text()
    assert "no_recording" not in expected.read_text()
    assert project.run("bundle", "test", "flow").code == 1
    assert project.run("bundle", "test", "flow", "--update").code == 0
    assert "ask: succeeded" in expected.read_text()
    assert "o: One" in expected.read_text()
    assert project.run("bundle", "test", "flow").code == 0


def test_what_was_never_answered_cannot_be_kept(project: Project) -> None:
    ask = "## Ask\n\n```yaml step\nid: ask\nagent: echo\n```\n\nOne\n\n"
    project.workflow(ask)
    project.write("bundles/flow/tests/bare/case.yaml", "inputs: {}\n")
    out = project.run("bundle", "test", "flow").out
    assert "ask: there is no recording of an answer" in out
    assert "ask anew: aiworkflow run bundles/flow --record bare --force" in out
    assert "--update" not in out


def test_force_without_a_case_is_refused(project: Project) -> None:
    project.workflow(script("one", "echo 1"))
    done = project.run("run", "flow", "--force")
    assert done.code == 2
    assert "`--force` says that a case may be replaced, and none is recorded" in done.err
    assert project.run("runs", "list", "--json").json["runs"] == []


def test_add_has_a_help_of_its_own(project: Project) -> None:
    for word in ("--help", "-h"):
        shown = project.run("bundle", "test", "add", word)
        assert shown.code == 0, shown.err
        assert "Usage: aiworkflow bundle test add [OPTIONS] RUN" in shown.out
        assert "Make a test case of a run that was" in shown.out
        assert "--junit" not in shown.out
    assert "--junit" in project.run("bundle", "test", "--help").out


def test_a_run_that_waits_for_a_moment_becomes_a_case_that_waits_too(project: Project) -> None:
    wait = "## Wait\n\n```yaml step\nid: wait\nwait: 3d\n```\n\n"
    gate = "## Gate\n\n```yaml step\nid: gate\napprove: {expires: 5d}\n```\n\nGo on?\n\n"
    first = "## First\n\n```yaml step\nid: first\nwait: 10s\n```\n\n"
    project.workflow(first + gate + wait + script("end", "echo done"))
    assert project.run("run", "flow", "--json").code == 3
    added = project.run("bundle", "test", "add", "last", "--name", "at-first", "--json")
    assert (added.code, added.json["replays"]) == (0, True), added.out + added.err
    replayed = project.run("bundle", "test", "flow")
    assert replayed.code == 0, replayed.out
    text = (project.root / "bundles/flow/tests/at-first/expect.yaml").read_text()
    assert "status: waiting" in text
    assert "first: waiting" in text
    assert "gate: pending" in text, "no time passes in which it would be asked"
