"""A scaffold of one's own, a YAML file or a class: the README's examples run, and what is wrong with one is one line."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evals.commands.application import app
from evals.record import AttemptKey, Outcome, Record
from evals.results.load import from_run_dir
from evals.run.attempt import run_attempt
from evals.run.definitions import ScaffoldMaker, definitions, facts
from evals.run.manifest import ScaffoldFacts, compose, differences
from evals.run.plan import RunPlan, load_plan
from evals.verdict.compare import compare
from scaffolds.base import Budget, Settings, Stop, ToolCallMode
from scaffolds.catalog import find
from scaffolds.factors import difference
from scaffolds.openai.config import ModelConfig
from scaffolds.programs.install import npm_wrapper, wrap
from scaffolds.programs.program import Program
from scaffolds.sampling import Sampling
from tasks.errors import MachineError, UserError
from tests.fakes.local_sandbox import LocalSandbox
from tests.fakes.openai_server import FakeServer, call, say
from tests.fakes.plain_backend import PlainBackend, plain_image
from tests.runs_on_disk import write_run
from tests.test_run import make_task, plain_context

README = (Path(__file__).parents[1] / "README.md").read_text()
EXAMPLES = {kind: re.findall(rf"```{kind}\n(.*?)```", README, re.DOTALL) for kind in ("yaml", "python")}
(CLASS,) = EXAMPLES["python"]
YAML = next(text for text in EXAMPLES["yaml"] if "like: base" in text)
PROGRAM = next(text for text in EXAMPLES["yaml"] if "run: mini" in text)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with the README's two examples in it."""
    (tmp_path / "my_scaffolds.py").write_text(CLASS)
    (tmp_path / "mine.yaml").write_text(YAML)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "my_scaffolds", raising=False)
    return tmp_path


def plan(*scaffolds: str, tool_calls: str = "native") -> RunPlan:
    server = {"base_url": "http://127.0.0.1:1/v1", "model": "m"}
    return load_plan(None, {"scaffolds": list(scaffolds), "model": server, "tool_calls": tool_calls})


SCRIPTS = {
    "mine": [say("```bash\necho new > a.txt\n```"), say("```submit\n```")],
    "Terse": [call("bash", {"command": "echo new > a.txt"}), call("submit")],
}


def test_the_readmes_examples_are_short_and_run(here: Path) -> None:
    documents = []
    assert max(CLASS.count("\n"), YAML.count("\n")) <= 25
    chosen = plan("mine.yaml", "my_scaffolds:Terse")
    maker = pickle.loads(pickle.dumps(ScaffoldMaker(definitions(chosen))))
    for name in chosen.scaffold_names:
        (repository := here / f"tree-{name}").mkdir()
        with FakeServer(*SCRIPTS[name]) as server:
            context = plain_context(
                here / "run",
                backend=PlainBackend(lambda at=repository: LocalSandbox(at)),  # type: ignore[misc]
                settings=Settings(budget=Budget(steps=5)),
                model=ModelConfig(base_url=server.url, model="m"),
                make_scaffold=maker,
            )
            task = make_task("one")
            key = AttemptKey(scaffold=name, task_id="one", attempt=1)
            record: Record = run_attempt(key, task, plain_image(task), context)
        assert (record.stop, record.patch_bytes > 0) == (Stop.SUBMITTED, True)
        assert record.tool_calls is (ToolCallMode.FENCED if name == "mine" else ToolCallMode.NATIVE)
        documents.append(json.loads((here / "run" / name / "one/1/trajectory.json").read_text()))
    atif = pytest.importorskip("atif", reason="the format's own package")
    for document in documents:
        assert document["schema_version"] == "ATIF-v1.8"
        read = atif.Trajectory.model_validate(document)
        assert read.agent.tool_definitions[0]["function"]["name"] == "bash"
        assert read.final_metrics.total_steps == len(read.steps)


def test_the_manifest_knows_what_each_is_and_a_resume_notices_a_change(here: Path) -> None:
    def made() -> tuple[RunPlan, dict[str, str]]:
        chosen = plan("mine.yaml", "my_scaffolds:Terse", "base")
        fresh = compose(
            chosen, [make_task("one")], run_id="r", server=None, base_image=None, excluded={}, scaffolds=facts(chosen)
        )  # fmt: skip
        manifests.append(fresh)
        return chosen, {name: one.source for name, one in fresh.scaffolds.items()}

    manifests: list[object] = []
    chosen, sources = made()
    assert sources == {"mine": "mine.yaml", "Terse": "my_scaffolds:Terse", "base": "family"}
    assert chosen.scaffold_names == ("mine", "Terse", "base")
    (here / "mine.yaml").write_text(YAML + "steps: 9\n")
    made()
    changed = [key for key, _ in differences(*manifests)]  # type: ignore[arg-type]
    assert changed == ["scaffold mine (content)"]
    assert manifests[1].scaffolds["mine"].factors["steps"] == "9"  # type: ignore[attr-defined]


def test_the_readmes_program_is_one(here: Path) -> None:
    (here / "mine.yaml").write_text(PROGRAM)
    made = find("mine.yaml")
    assert PROGRAM.count("\n") <= 25
    said = made.in_force(Budget(steps=7), ToolCallMode.NATIVE)
    assert said.items() >= {"program": "mini-swe-agent==2.4.6", "python": "3.11", "steps": "7"}.items()
    assert said["kept out of the patch"] == ".mini"


def with_scaffolds(run: Path, known: Mapping[str, ScaffoldFacts]) -> Path:
    """The run, whose manifest knows what its scaffolds are."""
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["scaffolds"] = {name: one.model_dump(mode="json") for name, one in known.items()}
    (run / "manifest.json").write_text(json.dumps(manifest))
    return run


OWN = """\
about: base that is drawn and shown otherwise
like: base
observation_characters: 300
observation_lines: {lines}
observation_shape: {shape}
sampling: {{temperature: 0.2, extra: {{reasoning_effort: low}}}}
"""


@pytest.mark.parametrize(
    ("shape", "lines", "shown"),
    [
        ("head", 3, "1\n2\n3\n[… 97 lines left out …]"),
        ("tail", 3, "[… 97 lines left out …]\n98\n99\n100"),
        ("ends", 4, "1\n2\n[… 96 lines left out …]\n99\n100"),
        ("tail", 99, f"[… 15 characters left out …]\n{'5' * 299}\n"),
    ],
)
def test_a_file_alone_sets_sampling_and_what_is_shown_of_an_output(
    here: Path, shape: str, lines: int, shown: str
) -> None:
    (here / "mine.yaml").write_text(OWN.format(shape=shape, lines=lines))
    command = "seq 100" if lines < 99 else "echo head of a line; printf %0299d | tr 0 5; echo"
    made: dict[str, list[dict[str, Any]]] = {}
    for name, given in (("mine", "mine.yaml"), ("base", "base")):
        (repository := here / f"tree-{name}").mkdir()
        with FakeServer(call("bash", {"command": command}), call("submit")) as server:
            context = plain_context(
                here / "run",
                backend=PlainBackend(lambda at=repository: LocalSandbox(at)),  # type: ignore[misc]
                model=ModelConfig(
                    base_url=server.url, model="m", sampling=Sampling(temperature=0.9, top_p=0.5, seed=3)
                ),
                make_scaffold=ScaffoldMaker({name: find(given)}),
            )
            run_attempt(AttemptKey(scaffold=name, task_id="one", attempt=2), make_task("one"), plain_image(make_task("one")), context)  # fmt: skip
        made[name] = [request.body for request in server.requests]
    drawn = [
        {key: body.get(key) for key in ("temperature", "top_p", "seed", "reasoning_effort")}
        for body in (made["mine"][0], made["base"][0])
    ]
    assert drawn == [
        {"temperature": 0.2, "top_p": 0.5, "seed": 4, "reasoning_effort": "low"},
        {"temperature": 0.9, "top_p": 0.5, "seed": 4, "reasoning_effort": None},
    ]
    assert made["mine"][1]["messages"][-1]["content"] == shown


def test_two_scaffolds_that_differ_in_sampling_alone_say_so_wherever_they_are_compared(here: Path) -> None:
    (here / "mine.yaml").write_text("like: base\nsampling: {temperature: 0.2, top_k: 5}\n")
    server = {"base_url": "http://127.0.0.1:1/v1", "model": "m", "sampling": {"temperature": 0.9}}
    chosen = load_plan(None, {"scaffolds": ["mine.yaml", "base"], "model": server})
    known = facts(chosen)
    assert difference(known["base"].factors, known["mine"].factors) == [
        "sampling: temperature 0.9 → temperature 0.2, top_k 5"
    ]
    run = write_run(here / "run", lambda _key: Outcome.RESOLVED, scaffolds=("mine", "base"))
    results = from_run_dir(with_scaffolds(run, known))
    temperatures = {s.scaffold: results.protocol_of(s).temperature for s in results.systems}
    assert temperatures["mine"] == 0.2 != temperatures["base"]
    told = CliRunner().invoke(app, ["scaffolds", "diff", "base", "mine.yaml"])
    assert told.output == "sampling: the plan's → temperature 0.2, top_k 5\n"


def test_what_npm_brought_beside_a_package_is_started_itself(tmp_path: Path) -> None:
    program = Program(
        npm="x@1.0.0", node="24.19.0", command="x", executable="x-{arch}/bin/x", run='x "$TASK"'
    )
    with pytest.raises(MachineError, match=r"x@1\.0\.0 brings no x-(x64|arm64)/bin/x"):
        npm_wrapper(program, tmp_path)
    for arch in ("x64", "arm64"):
        (place := tmp_path / f"node_modules/x-{arch}/bin/x").parent.mkdir(parents=True)
        place.write_text('#!/bin/sh\necho started "$@"\n')
        place.chmod(0o755)
    wrap(tmp_path, "x", npm_wrapper(program, tmp_path))
    said = subprocess.run([tmp_path / "bin/x", "a b"], capture_output=True, text=True, check=True).stdout
    assert said == "started a b\n"


WRONG_FILES = {
    "tols: [bash]": "did you mean 'tools'?",
    "run: x\nexecutable: y": "`executable` goes with `npm`",
    "run: x\npypi: a==1\ncommand: a\nbuilt: [b]": "`built` has packages with their version",
    "like: base\nsampling: {temprature: 1}": "`sampling.temprature`; did you mean 'temperature'?",
    "tools: [bsh]": "did you mean 'bash'?",
    "tools: []": "agency loop needs tools",
    "tools: [bash]\nagency: oneshot": "has no tools",
    "like: base\nanswer: search_replace": "changes files with its tools: leave out `answer`",
    "tools: [windowed]\nsubmit: marker": "needs the tool bash",
    "tools: [read_edit_write, windowed]": "two tools are called edit",
    "like: bse": "did you mean 'base'?",
    "tools: [bash]\ncalls: xlm": "`calls`",
    "run: x\nnpm: pi": "`npm` is a package with its version",
    "run: x\nnpm: pi@1.2.3": "`npm` needs `node`",
    "run: x\npypi: mini==2.4.6": "need `command`",
    "run: x\npypi: mini==2.4.6\nnpm: pi@1.2.3": "not both",
    "run: x\ndrop: [.x]": "did you mean 'drops'?",
    "run: x\ntask: '{what}'": "other braces are doubled",
    "run: x\npython: 3.11": "`python`",
    "like: codx": "did you mean 'codex'?",
    "- bash": "keys and values",
    "{": "not valid YAML",
}


@pytest.mark.parametrize("text", WRONG_FILES)
def test_what_is_wrong_with_a_file_is_one_line(text: str, here: Path) -> None:
    (here / "mine.yaml").write_text(text)
    with pytest.raises(UserError) as error:
        definitions(plan("mine.yaml"))
    assert WRONG_FILES[text] in str(error.value)
    assert "\n" not in str(error.value)


WRONG_NAMES = {
    "none.yaml": "cannot read the scaffold none.yaml",
    "my_scaffold:Terse": "cannot import my_scaffold (ModuleNotFoundError",
    "my_scaffolds:Tense": "my_scaffolds has no class Tense",
    "my_scaffolds:SYSTEM": "has no class SYSTEM",
    "broken:Terse": "cannot import broken (ZeroDivisionError",
    "odd:NoSolve": "solve(brief, model, sandbox)",
    "odd:Asks": "Asks(settings)",
    "bash.yaml": "'bash' is taken",
    "bsae": "did you mean 'base'?",
}


@pytest.mark.parametrize("name", WRONG_NAMES)
def test_what_is_wrong_with_a_name_is_one_line(name: str, here: Path) -> None:
    (here / "broken.py").write_text("1 / 0\n")
    (here / "odd.py").write_text(
        "class NoSolve:\n    def __init__(self, settings): ...\n"
        "class Asks:\n    def __init__(self): ...\n    def solve(self, brief, model, sandbox): ...\n"
    )
    with pytest.raises(UserError) as error:
        definitions(plan(name))
    assert WRONG_NAMES[name] in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(find_spec("minisweagent") is not None, reason="upstream is here")
def test_upstream_that_is_not_installed_is_one_line() -> None:
    with pytest.raises(UserError, match=r"pip install 'asclaimed\[mini\]'"):
        definitions(plan("scaffolds.mini:MiniSweAgent"))


def test_two_of_one_name_are_refused(here: Path) -> None:
    (here / "other").mkdir()
    (here / "other/mine.yaml").write_text(YAML)
    with pytest.raises(UserError, match="named twice"):
        definitions(plan("mine.yaml", "other/mine.yaml"))


def command(*words: str) -> str:
    done = CliRunner().invoke(app, ["scaffolds", *words])
    assert done.exit_code == 0, done.output
    return done.output


def test_scaffolds_are_listed_shown_and_told_apart(here: Path) -> None:
    assert "base-windowed" in command("list")
    listed = json.loads(command("list", "--json"))
    tokens = {one["name"]: one["tokens_before_first_step"] for one in listed}
    assert tokens["pi"] is None
    assert 200 < tokens["bash"] < tokens["base-windowed"] < 2500
    shown = command("show", "edit")
    assert "agency: loop" in shown
    assert '"name": "str_replace_editor"' in shown
    assert "tokens before the first step: about" in shown
    assert json.loads(command("show", "my_scaffolds:Terse", "--json"))["factors"] == {}
    assert "@openai/codex@" in command("list")
    assert "codex exec --json" in command("show", "codex")
    assert "web_search" in json.loads(command("show", "codex", "--json"))["run"]
    assert "CATALOGUE=$HOME/models.json" in command("diff", "codex", "codex-catalogue")
    assert command("diff", "base", "base-xml") == "calls: the plan's → xml\n"
    assert json.loads(command("diff", "bash", "edit", "--json")) == [
        "prompt: shell → pair",
        "tools: bash → bash + str_replace_editor",
    ]


def test_a_difference_names_the_factors_that_it_is_due_to(tmp_path: Path) -> None:
    from evals.report.verdict_text import comparison_lines

    run = write_run(tmp_path / "run", lambda _key: Outcome.RESOLVED, scaffolds=("base", "base-xml"))
    found = compare(from_run_dir(with_scaffolds(run, facts(plan("base", "base-xml")))))
    assert found.pairs[0].factors == ("calls: native → xml",)
    assert "  the scaffolds differ in: calls: native → xml" in list(comparison_lines(found))
