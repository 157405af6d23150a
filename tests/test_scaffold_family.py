"""Scaffolds as data: every one of the family repairs a file under a scripted model, and each differs in what it says."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from scaffolds.assembled import Assembled
from scaffolds.base import Budget, Settings, Step, Stop, ToolCallMode, Trajectory
from scaffolds.catalog import find, names
from scaffolds.factors import Agency, difference
from scaffolds.openai.client import OpenAIModel
from scaffolds.openai.config import ModelConfig, Retries
from scaffolds.submit import MARKER
from tasks.docker.images import sandbox_base
from tasks.docker.sandbox import open_sandbox
from tasks.sandbox import Limits, Sandbox
from tasks.task import Brief
from tests.fakes.local_sandbox import LocalSandbox
from tests.fakes.openai_server import Answer, FakeServer, call, say

BRIEF = Brief(task_id="t", repo="r/r", problem_statement="add() subtracts")
WRONG, RIGHT = "def add(a, b):\n    return a - b\n", "def add(a, b):\n    return a + b\n"
FIX, SUBMIT = call("bash", {"command": "sed -i 's/a - b/a + b/' calc.py"}), call("submit")
WHOLE = say(f"calc.py\n```python\n{RIGHT}```")
PATCH = "*** Begin Patch\n*** Update File: calc.py\n def add(a, b):\n-    return a - b\n+    return a + b\n*** End Patch"


def written(name: str, **arguments: str) -> Answer:
    return say(f"I go on.\n```json\n{json.dumps({'name': name, 'arguments': arguments})}\n```")


SED = "sed -i 's/a - b/a + b/' calc.py"
SCRIPTS: dict[str, list[Answer]] = {
    "edit": [
        call("str_replace_editor", {"command": "str_replace", "path": "calc.py", "old_str": "-", "new_str": "+"}),
        SUBMIT,
    ],
    "oneshot": [WHOLE],
    "oneshot-search-replace": [say("calc.py\n<<<<<<< SEARCH\n    return a - b\n=======\n    return a + b\n>>>>>>> REPLACE")],
    "localize": [say("I cannot."), WHOLE, say("calc.py\n```\ndef add(a, b):\n    return 0\n```"), WHOLE],
    "base-str-replace-editor": [
        call("str_replace_editor", {"command": "str_replace", "path": "calc.py", "old_str": "-", "new_str": "+"}),
        SUBMIT,
    ],
    "base-read-edit-write": [
        call("read_file", {"file_path": "/testbed/calc.py", "offset": 1}),
        call("edit", {"file_path": "/testbed/calc.py", "old_string": "a - b", "new_string": "a + b"}),
        SUBMIT,
    ],
    "base-apply-patch": [call("apply_patch", {"patch": PATCH}), SUBMIT],
    "base-windowed": [
        call("search_dir", {"search_term": "a - b"}),
        call("open", {"path": "calc.py", "line_number": 2}),
        call("edit", {"search": "a - b", "replace": "a + b"}),
        SUBMIT,
    ],
    "base-lenient": [written("bash", command=SED), written("submit")],
    "base-text": [written("bash", command=SED), written("submit")],
    "base-fenced": [say(f"So:\n```bash\n{SED}\n```\n"), say("```submit\n```")],
    "base-xml": [
        say(f"<function=bash>\n<parameter=command>\n{SED}\n</parameter>\n</function>"),
        say("<function=submit>\n</function>"),
    ],
    "base-marker": [FIX, call("bash", {"command": f"echo {MARKER}; ls"})],
    "base-silence": [FIX, say("It adds now.")],
    "base-review": [FIX, SUBMIT, SUBMIT],
    "base-critic": [call("bash", {"command": "echo x > calc.py; echo y > new"}), SUBMIT, say("REJECT"), FIX, SUBMIT, say("Fine.\nACCEPT")],
}  # fmt: skip


class Trial:
    """One attempt of one scaffold under a script, in a directory or in the sandbox that is given."""

    def __init__(
        self, name: str, root: Path, script: Sequence[Answer], sandbox: Sandbox | None = None, **budget: Any
    ) -> None:
        self.root = root
        if sandbox is None:
            (root / "calc.py").write_text(WRONG)
        self.sandbox = sandbox or LocalSandbox(root)
        self.steps: list[Step] = []
        with FakeServer(*script) as self.server:
            model = OpenAIModel(ModelConfig(base_url=self.server.url, model="m", retries=Retries(attempts=1)))
            settings = Settings(budget=Budget(**budget), on_step=self.steps.append)
            self.result: Trajectory = find(name).make(settings).solve(BRIEF, model, self.sandbox)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [request.body for request in self.server.requests]


@pytest.mark.parametrize("name", names())
def test_each_repairs_a_file_and_submits(name: str, tmp_path: Path) -> None:
    trial = Trial(name, tmp_path, SCRIPTS.get(name, [FIX, SUBMIT]))
    assert trial.result.stop is Stop.SUBMITTED
    assert (tmp_path / "calc.py").read_text() == RIGHT
    assert not (tmp_path / "new").exists()
    assert len(trial.bodies) == len(SCRIPTS.get(name, [FIX, SUBMIT])) == trial.result.steps


@pytest.mark.docker
@pytest.mark.parametrize("name", ["base-windowed", "base-apply-patch", "base-critic", "localize"])
def test_those_that_need_a_real_shell_and_git_have_them(
    name: str, docker_daemon: None, tmp_path: Path
) -> None:
    image = sandbox_base(lambda _what, _share: None).reference
    with open_sandbox(image, workdir="/testbed", limits=Limits(memory=256 << 20)) as sandbox:
        sandbox.write("/testbed/calc.py", WRONG.encode())
        git = "git init -q; git add -A; git -c user.name=t -c user.email=t@t commit -qm start"
        assert sandbox.exec(git, timeout=20).exit_code == 0
        trial = Trial(name, tmp_path, SCRIPTS[name], sandbox)
        assert trial.result.stop is Stop.SUBMITTED
        assert sandbox.read("/testbed/calc.py").decode() == RIGHT


def test_bash_and_edit_say_what_they_always_said() -> None:
    """Runs of before their parts were parts compare with runs of now: the digests were taken from that code."""
    digests = {
        ("bash", ToolCallMode.NATIVE): "4193909a528caa73",
        ("bash", ToolCallMode.TEXT): "4e516096875c2672",
        ("edit", ToolCallMode.NATIVE): "34a1ebd2fcd3fbf1",
        ("edit", ToolCallMode.TEXT): "08259cea3c80f79a",
    }
    for (name, mode), digest in digests.items():
        scaffold = find(name).make(Settings(tool_calls=mode))
        assert isinstance(scaffold, Assembled)
        system, task, schemas = scaffold.first_request(BRIEF)
        messages = [{"role": "system", "content": system}, {"role": "user", "content": task}]
        sent = json.dumps([messages, list(schemas)]).encode()
        assert hashlib.sha256(sent).hexdigest()[:16] == digest


@pytest.mark.parametrize("name", [name for name in names() if name.startswith("base-")])
def test_each_of_the_family_differs_from_base_in_one_thing(name: str) -> None:
    base, other = (find(one).factors for one in ("base", name))
    assert base is not None
    assert other is not None
    mode = ToolCallMode.TEXT if name == "base-native" else ToolCallMode.NATIVE
    changed = difference(base.in_force(Budget(), mode), other.in_force(Budget(), mode))
    assert len(changed) == (
        0 if base.model_copy(update={"calls": mode, "about": other.about}) == other else 1
    )


def test_what_a_scaffold_leaves_open_is_the_plans() -> None:
    short, base = find("base-short").factors, find("base").factors
    assert short is not None
    assert base is not None
    plan = Settings(budget=Budget(steps=7, command_seconds=9), tool_calls=ToolCallMode.XML)
    own = short.under(plan)
    assert (own.budget.steps, own.budget.observation_characters, own.tool_calls) == (
        7,
        2000,
        ToolCallMode.XML,
    )
    assert base.under(plan) == plan


def test_the_trajectory_says_how_calls_travelled_and_what_there_was_to_call(tmp_path: Path) -> None:
    result = Trial("base-fenced", tmp_path, SCRIPTS["base-fenced"]).result
    assert (result.tool_calls, result.calls.recovered) == (ToolCallMode.FENCED, 2)
    assert [tool["function"]["name"] for tool in result.tools] == ["bash", "submit"]


def test_the_review_shows_the_change_once(tmp_path: Path) -> None:
    trial = Trial("base-review", tmp_path, SCRIPTS["base-review"])
    shown = trial.bodies[-1]["messages"][-1]
    assert shown["role"] == "tool"
    assert "+    return a + b" in shown["content"]


def test_a_critic_begins_again_with_a_clean_tree_and_sees_the_change(tmp_path: Path) -> None:
    trial = Trial("base-critic", tmp_path, SCRIPTS["base-critic"])
    asked, again = trial.bodies[2]["messages"], trial.bodies[3]["messages"]
    assert "+x" in asked[1]["content"]
    assert len(again) == 2
    assert trial.result.steps == 6
    assert trial.result.prompt_tokens == 60


def test_what_was_submitted_stands_when_the_budget_leaves_no_critic(tmp_path: Path) -> None:
    trial = Trial("base-critic", tmp_path, SCRIPTS["base-critic"], steps=2)
    assert (trial.result.stop, trial.result.steps) == (Stop.SUBMITTED, 2)
    assert (tmp_path / "calc.py").read_text() == "x\n"


def test_localize_keeps_the_repair_under_which_tests_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")  # a python with pytest
    (tmp_path / "test_calc.py").write_text("from calc import add\n\ndef test_add(): assert add(1, 0) == 1\n")
    wrong = say("calc.py\n```\ndef add(a, b):\n    return 0\n```")
    trial = Trial("localize", tmp_path, [wrong, wrong, WHOLE, wrong])
    assert (tmp_path / "calc.py").read_text() == RIGHT
    said = [step.observations for step in trial.steps if step.source == "agent"]
    assert said == [("1 failures",), ("1 failures",), ("0 failures",), ("1 failures",)]


def test_localize_asks_where_among_many_files(tmp_path: Path) -> None:
    for n in range(6):
        (tmp_path / f"other{n}.py").write_text("x = 1\n")
    trial = Trial("localize", tmp_path, [say("calc.py"), WHOLE])
    assert "other3.py" in trial.bodies[0]["messages"][1]["content"]
    assert trial.result.files_shown == ("calc.py",)
    assert (tmp_path / "calc.py").read_text() == RIGHT


def test_thoughts_go_back_to_the_model_or_do_not(tmp_path: Path) -> None:
    thinking = call("bash", {"command": "true"}, text="<think>hm</think>ok", reasoning_content="so …")
    for name, kept in (("base", True), ("base-no-thinking", False)):
        (tmp_path / name).mkdir()
        trial = Trial(name, tmp_path / name, [thinking, SUBMIT])
        again = trial.bodies[-1]["messages"][2]
        assert ("hm" in again["content"], "so …" in json.dumps(again, ensure_ascii=False)) == (kept, kept)
        assert trial.steps[2].reasoning_content == "so …"


def test_condensed_leaves_out_older_outputs_ten_at_a_time(tmp_path: Path) -> None:
    long = call("bash", {"command": "seq 100"})
    bodies = Trial("base-condensed", tmp_path, [long] * 30 + [SUBMIT]).bodies
    whole = [sum("99\n100" in m["content"] for m in body["messages"]) for body in bodies]
    assert whole[:16] == [*range(15), 5]
    assert max(whole) == 14
    assert all(
        bodies[n]["messages"] == bodies[n + 1]["messages"][: len(bodies[n]["messages"])] for n in range(14)
    )


def test_the_steps_that_are_left_are_told(tmp_path: Path) -> None:
    trial = Trial("base-steps-left", tmp_path, [FIX], steps=3)
    told = [m["content"].rpartition("\n")[2] for m in trial.bodies[-1]["messages"] if m["role"] == "tool"]
    assert told == ["[2 steps are left]", "[1 steps are left]"]


def test_silence_submits_only_with_words_of_its_own(tmp_path: Path) -> None:
    """Nothing said, an answer that was cut off, and calls that a server did not parse are no submission."""
    for answer in (say(""), say("I will", finish="length"), written("bash", command="ls")):
        result = Trial("base-silence", tmp_path, [answer]).result
        assert (result.stop, result.steps) == (Stop.NO_TOOL_CALL, 3)


def test_a_block_that_an_answers_end_cut_off_is_not_run(tmp_path: Path) -> None:
    for name, text in (
        ("base-fenced", "```bash\nrm calc.py # and"),
        ("base-xml", "<function=bash>\n<parameter=command>\nrm calc.py\n</parameter>"),
    ):
        result = Trial(name, tmp_path, [say(text, finish="length"), say("")]).result
        assert result.stop is Stop.NO_TOOL_CALL
        assert (tmp_path / "calc.py").exists()


PATCHES: dict[str, tuple[str, str | None]] = {
    "an anchor finds the second of two": (
        "*** Update File: a\n@@ def g():\n-    x = 1\n+    x = 2\n", "def f():\n    x = 1\ndef g():\n    x = 2\n",
    ),
    "blanks at the end do not count": ("*** Update File: a\n-def f():  \n+def h():\n", "def h():\n    x = 1\ndef g():\n    x = 1\n"),
    "lines that are not there": ("*** Update File: a\n-y = 1\n+y = 2\n", None),
    "a file that is there": ("*** Add File: a\n+x\n", None),
    "a file that is not there": ("*** Delete File: b\n", None),
    "two files, one of them wrong": ("*** Update File: a\n-def f():\n+def h():\n*** Delete File: b\n", None),
    "an end of file": ("*** Update File: a\n-    x = 1\n+    x = 3\n*** End of File\n", "def f():\n    x = 1\ndef g():\n    x = 3\n"),
    "lines at the end": ("*** Update File: a\n@@\n+# end\n", "def f():\n    x = 1\ndef g():\n    x = 1\n# end\n"),
    "no head": ("+x\n", None),
    "nothing": ("", None),
}  # fmt: skip


@pytest.mark.parametrize("name", PATCHES)
def test_a_patch_is_applied_as_a_whole_or_not_at_all(name: str, tmp_path: Path) -> None:
    patch, after = PATCHES[name]
    before = "def f():\n    x = 1\ndef g():\n    x = 1\n"
    (tmp_path / "a").write_text(before)
    whole = f"*** Begin Patch\n{patch}*** End Patch"
    trial = Trial("base-apply-patch", tmp_path, [call("apply_patch", {"patch": whole}), SUBMIT])
    assert (tmp_path / "a").read_text() == (before if after is None else after)
    assert ("Nothing changed" in trial.steps[2].observations[0]) == (after is None)


def test_a_patch_moves_and_deletes(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"a\r\nb\r\n")
    (tmp_path / "gone").write_text("")
    patch = "*** Begin Patch\n*** Update File: old\n*** Move to: sub/new\n-a\n+c\n*** Delete File: gone\n*** End Patch"
    Trial("base-apply-patch", tmp_path, [call("apply_patch", {"patch": patch}), SUBMIT])
    assert (tmp_path / "sub/new").read_bytes() == b"c\r\nb\r\n"
    assert not (tmp_path / "old").exists()
    assert not (tmp_path / "gone").exists()


def windowed(root: Path, *calls: tuple[str, Mapping[str, Any]]) -> list[str]:
    (root / "long.txt").write_text("".join(f"line {n}\n" for n in range(1, 301)))
    trial = Trial("base-windowed", root, [*(call(name, given) for name, given in calls), SUBMIT])
    return [step.observations[0] for step in trial.steps if step.observations]


def test_a_window_moves_as_upstreams_does(tmp_path: Path) -> None:
    first, down, far, up = windowed(
        tmp_path, ("open", {"path": "long.txt"}), ("scroll_down", {}), ("goto", {"line_number": 200}), ("scroll_up", {})
    )  # fmt: skip
    assert "\n1:line 1\n" in first
    assert "(200 more lines below)" in first
    assert "\n99:line 99\n" in down
    assert "(183 more lines above)" in far
    assert "(85 more lines above)" in up


def test_a_windowed_edit_reaches_no_further_than_the_window(tmp_path: Path) -> None:
    said = windowed(
        tmp_path,
        ("edit", {"search": "line 1", "replace": "x"}),
        ("open", {"path": "long.txt"}),
        ("edit", {"search": "line 250\n", "replace": "x"}),
        ("edit", {"search": "line 50\n", "replace": "x\n"}),
        ("insert", {"text": "last"}),
        ("create", {"filename": "long.txt"}),
        ("search_file", {"search_term": "line 30"}),
        ("find_file", {"file_name": "lon*"}),
    )
    refused = ["no file is open" in said[0], "occurs 0 times" in said[2], "exists already" in said[5]]
    assert refused == [True] * 3
    assert "2 lines of long.txt" in said[6]
    assert "./long.txt" in said[7]
    text = (tmp_path / "long.txt").read_text().split("\n")
    assert (text[49], text[249], text[300]) == ("x", "line 250", "last")


def read_edit_write(root: Path, *calls: tuple[str, Mapping[str, Any]]) -> list[str]:
    trial = Trial("base-read-edit-write", root, [*(call(name, given) for name, given in calls), SUBMIT])
    return [step.observations[0] for step in trial.steps if step.observations]


def test_files_are_read_edited_and_written(tmp_path: Path) -> None:
    (tmp_path / "two").write_text("a\na\nb\n")
    said = read_edit_write(
        tmp_path,
        ("read_file", {"file_path": "two", "offset": 1, "limit": 1}),
        ("edit", {"file_path": "two", "old_string": "a", "new_string": "c"}),
        ("edit", {"file_path": "two", "old_string": "a", "new_string": "c", "replace_all": True}),
        ("edit", {"file_path": "two", "old_string": "", "new_string": "c"}),
        ("write_file", {"file_path": "sub/three", "content": "new"}),
        ("read_file", {"file_path": "none"}),
    )
    assert said[0] == "a\n\n[1 more lines; go on with offset 2]"
    assert "occurs 2 times in two (lines 1, 2)" in said[1]
    assert "exists already" in said[3]
    assert "there is no file none" in said[5]
    assert ((tmp_path / "two").read_text(), (tmp_path / "sub/three").read_text()) == ("c\nc\nb\n", "new")


def test_every_agency_is_in_the_family() -> None:
    found: list[Callable[..., Any] | Agency] = [
        one.factors.agency for one in map(find, names()) if one.factors
    ]
    assert set(found) == set(Agency)
