"""Nights as a user has them: the command line, real Docker, bundled tasks; the model is a scripted server."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest
import yaml

from tasks import catalog
from tests.fakes.openai_server import Answer, Body, FakeServer, call
from tests.test_end_to_end import asclaimed

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("docker_daemon")]
TASKS = catalog.load("bundled", limit=2)
ATTEMPTS = 3
"""Of each task: six attempts that all failed, after six that all passed, are enough for an alarm at this alpha."""
ALPHA = 0.4


class Watch:
    """A scripted model that knows every answer until it forgets them, a baseline of it, and a plan."""

    def __init__(self, directory: Path, server: FakeServer) -> None:
        self.directory, self.server, self.knows = directory, server, True
        self.said = ""
        server.script.append(self.answer)
        self.run = {
            "tasks": "bundled",
            "ids": [task.id for task in TASKS],
            "attempts": ATTEMPTS,
            "workers": 4,
            "model": {"base_url": server.url, "model": "fake"},
        }

    def answer(self, body: Body) -> Answer:
        """The reference fix, then `submit`; or `submit` at once."""
        messages = body["messages"]
        task = next(task for task in TASKS if task.brief.problem_statement in messages[1]["content"])
        if self.knows and len(messages) == 2:
            return call("bash", {"command": f"git apply <<'EOF'\n{task.checks.gold_patch}\nEOF"})
        return call("submit")

    def plan(self, name: str, value: dict[str, Any]) -> Path:
        (self.directory / name).write_text(yaml.safe_dump(value))
        return self.directory / name

    def baseline(self) -> Path:
        plan = self.plan("baseline.yaml", self.run)
        asclaimed("run", plan, "--out", self.directory / "baseline")
        return self.directory / "baseline"

    def night(self, code: int, **settings: Any) -> Path:
        """Runs one night, which must end with `code`; returns its directory."""
        where = {"baseline": str(self.directory / "baseline"), "nights": str(self.directory / "nights")}
        plan = self.plan("nightly.yaml", {"run": self.run, "alpha": ALPHA, **where, **settings})
        reports = ["--junit", self.directory / "junit.xml", "--summary", self.directory / "summary.md"]
        self.said = asclaimed("nightly", plan, *reports, check=code).stderr
        return max((self.directory / "nights").glob("2*"))

    def questions(self) -> int:
        return sum(request.path.endswith("/chat/completions") for request in self.server.requests)


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    with FakeServer() as server:
        yield Watch(tmp_path, server)


@contextmanager
def listening(file: Path) -> Iterator[Callable[[Path], int]]:
    """How many containers of a night were created meanwhile, gone or not: heard as it happens, for dockerd forgets on a busy machine."""
    filters = ("--filter", "type=container", "--filter", "event=create", "--filter", "label=asclaimed.run")
    shown = '{{index .Actor.Attributes "asclaimed.run"}}'
    command = ["docker", "events", "--since", f"{time.time():.0f}", *filters, "--format", shown]
    with file.open("w") as out, subprocess.Popen(command, stdout=out) as child:
        try:
            yield lambda night: file.read_text().split().count(night.name)
        finally:
            child.terminate()


def test_a_quiet_night_reuses_and_a_bad_one_raises_the_alarm(watch: Watch) -> None:
    with listening(watch.directory / "created") as created:
        watch.baseline()
        asked = watch.questions()
        quiet = watch.night(0)
        assert json.loads((quiet / "night.json").read_text())["actions"] == {"reuse": 2 * ATTEMPTS}
        assert watch.questions() == asked
        watch.knows = False
        bad = watch.night(1, fresh=True)
        assert (created(quiet), created(bad) >= 2 * ATTEMPTS) == (0, True)
        assert created(watch.directory / "baseline") >= 2 * ATTEMPTS
    for words in ("images: 2 here", "disk: about ", f"attempts: {2 * ATTEMPTS}, 4 at once", "server: "):
        assert f"\n{words}" in watch.said, watch.said
    assert watch.questions() == asked + 2 * ATTEMPTS
    check_reports(watch, bad)


def check_reports(watch: Watch, bad: Path) -> None:
    """The alarm, where a CI server looks; the summary has both nights, the JUnit file this one alone."""
    xml = (watch.directory / "junit.xml").read_bytes()
    assert xml == (bad / "junit.xml").read_bytes()
    root = Xml.fromstring(xml)
    assert {name: root.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": str(1 + 2 * ATTEMPTS),
        "failures": "1",
        "errors": "0",
        "skipped": str(2 * ATTEMPTS),
    }
    text = (watch.directory / "summary.md").read_text()
    assert [line for line in text.splitlines() if line.startswith("# ")] == [
        f"# {bad.name[:-1]}1: no regression",
        f"# {bad.name}: regression",
    ]
    assert f"| bash | 2 | {2 * ATTEMPTS} | 0 of {2 * ATTEMPTS} |" in text
