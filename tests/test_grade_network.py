"""A network for the official grader's tests: who gets one, who is told, and what its lack does to a rate."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evals.claims.catalog import find
from evals.claims.network import network_dependent
from evals.commands.application import app
from evals.grade.grader import Grader
from evals.grade.store import RunStore
from evals.nightly.reuse import grading
from evals.record import AttemptKey, Outcome
from evals.report.summary import read_report
from evals.results.load import load_run
from evals.run import manifest as manifests
from evals.run.plan import load_plan
from evals.verdict.protocol_match import match
from evals.verdict.readings import readings
from tasks import catalog
from tasks.backend import EVAL_FILE, RunTests, TestLimits
from tasks.docker.backend import DockerBackend
from tasks.docker.daemon import client
from tests.runs_on_disk import write_attempt, write_run

REQUESTS, SPHINX = "psf__requests-1142", "sphinx-doc__sphinx-7985"
BUNDLED = Path(catalog.__file__).parent / "bundled"
NETWORK = {"grading": {"network": True}}


class Watched(DockerBackend):
    """Docker, and who asked for a network."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[tuple[bool, bool]] = set()
        """Whether it was the official grader, and whether it wanted a network."""

    def tests(
        self, image: str, workdir: str, limits: TestLimits, *, script_file: str | None = None, run: str = ""
    ) -> RunTests:
        self.asked.add((script_file == EVAL_FILE, limits.network))
        return super().tests(image, workdir, limits, script_file=script_file, run=run)


def test_only_the_official_grader_gets_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = load_plan(None, {"grading.network": True})
    (task,) = catalog.load("bundled", limit=1)
    backend = Watched()
    with Grader(limits=plan.test_limits, store=RunStore(tmp_path), backend=backend, cached=False) as grader:
        grade = grader.grade_patch(task, task.checks.gold_patch.encode())
    assert grade.official.outcome is Outcome.RESOLVED
    assert backend.asked == {(True, True), (False, False)}


@pytest.fixture
def outside(docker_daemon: None) -> Iterator[str]:
    """An HTTP server that containers with a network reach, at the bridge's own address."""
    bridge = client().networks.get("bridge").attrs["IPAM"]["Config"][0]
    # a daemon that has just made its bridge names no gateway: it is the first address
    gateway = bridge.get("Gateway") or str(next(ip_network(bridge["Subnet"]).hosts()))
    server = ThreadingHTTPServer((gateway, 0), SimpleHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://{gateway}:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


@pytest.mark.docker
def test_tasks_check_finds_what_needs_a_network_and_can_give_it_one(outside: str, tmp_path: Path) -> None:
    """A task whose tests ask a server first, as the eight of requests do."""
    home, name = tmp_path / "tasks", "asclaimed__purl-1"
    shutil.copytree(BUNDLED / "tasks" / name, home / "tasks" / name)
    shutil.copy(BUNDLED / "sweb.yaml", home)
    script = home / "tasks" / name / "eval.sh"
    asks = f"python3 -c 'import urllib.request as r; r.urlopen(\"{outside}\", timeout=5)' && "
    assert "\npython" in script.read_text()
    script.write_text(script.read_text().replace("\npython", f"\n{asks}python"))
    command = ["tasks", "check", "--tasks", str(home), "-k", "1"]
    without, given = CliRunner().invoke(app, command), CliRunner().invoke(app, [*command, "--network"])
    assert (without.exit_code, "gold_fails" in without.output) == (1, True), without.output
    assert (given.exit_code, "1 of 1 tasks reliable" in given.output) == (0, True), given.output


def run_on(path: Path, outcomes: dict[str, Outcome], **plan: object) -> Path:
    """A finished run whose tasks bear names of SWE-bench Verified."""
    run = write_run(path, lambda _key: None, tasks=len(outcomes), **{"scaffolds": ["gold"], **plan})
    known = manifests.load(run)
    named = zip(known.tasks, outcomes, strict=True)
    entries = tuple(task.model_copy(update={"id": name}) for task, name in named)
    (run / "manifest.json").write_text(known.model_copy(update={"tasks": entries}).model_dump_json())
    (run / "ledger.jsonl").touch()
    for scaffold in known.plan.scaffolds:
        for entry in entries:
            key = AttemptKey(scaffold=scaffold, task_id=entry.id, attempt=1)
            write_attempt(run, key, outcomes[entry.id], task_hash=entry.hash)
    return run


OUTCOMES = {
    REQUESTS: Outcome.UNRESOLVED,
    "astropy__astropy-7606": Outcome.UNRESOLVED,
    "django__django-11099": Outcome.UNRESOLVED,
    "sympy__sympy-20590": Outcome.RESOLVED,
}


def test_the_report_says_what_the_lack_of_a_network_does_to_the_rate(tmp_path: Path) -> None:
    text = "\n".join(read_report(run_on(tmp_path / "off", OUTCOMES)).summary.findings)
    assert "1 task needs a network to be graded, and there was none: without them 33.3 %" in text
    assert "grading.network=true" in text
    quiet = "\n".join(read_report(run_on(tmp_path / "on", OUTCOMES, **NETWORK)).summary.findings)
    assert "needs a network" not in quiet


def test_gold_below_100_names_each_task_and_the_likely_cause(tmp_path: Path) -> None:
    lines = [
        line
        for line in read_report(run_on(tmp_path / "run", OUTCOMES)).summary.findings
        if line.startswith("gold: ")
    ]
    causes = {name: next((x for x in lines if x.startswith(f"gold: {name} ")), "") for name in OUTCOMES}
    assert "need a network" in causes[REQUESTS]
    assert "known as broken or flaky (SWE-bench/SWE-bench#267" in causes["astropy__astropy-7606"]
    assert "not known elsewhere" in causes["django__django-11099"]
    assert not causes["sympy__sympy-20590"]


def test_no_other_scaffold_is_excused(tmp_path: Path) -> None:
    lines = read_report(run_on(tmp_path / "run", OUTCOMES, scaffolds=["bash"])).summary.findings
    assert not any("known as broken" in line for line in lines)


def test_the_protocol_has_a_row_and_verify_a_reading(tmp_path: Path) -> None:
    claim = find("qwen3.6-27b/swe-bench-verified")
    for name, plan, said in (("off", {}, "off"), ("on", NETWORK, "on")):
        results = load_run(run_on(tmp_path / name, OUTCOMES, scaffolds=["bash"], **plan)).results
        rows = {p.name: p.measured for p in match(claim, results, results.systems[0])}
        assert rows["network while grading"] == said
        views = [view.name for view in readings(claim, results)]
        assert any("whose grading needs a network" in view for view in views) is (said == "off")


def test_one_task_is_left_out_of_a_reading_and_never_all(tmp_path: Path) -> None:
    claim = find("qwen3.6-27b/swe-bench-verified")

    def names(*tasks: str) -> list[str]:
        run = run_on(tmp_path / str(len(tasks)), {task: OUTCOMES[task] for task in tasks}, scaffolds=["bash"])
        return [
            view.name for view in readings(claim, load_run(run).results) if view.name.startswith("without")
        ]

    assert names("astropy__astropy-7606", "sympy__sympy-20590") == ["without 1 task known as broken"]
    assert names("astropy__astropy-7606") == []


def test_a_night_keeps_no_grade_that_was_made_with_another_network(tmp_path: Path) -> None:
    off, on = (
        manifests.load(run_on(tmp_path / name, OUTCOMES, **p)) for name, p in (("off", {}), ("on", NETWORK))
    )
    assert grading(off) != grading(on)


@pytest.mark.parametrize(
    ("network", "excluded"), [(False, {REQUESTS, SPHINX}), (True, set[str]())], ids=["off", "on"]
)
def test_tasks_that_need_a_network_are_excluded_when_asked(*, network: bool, excluded: set[str]) -> None:
    plan = load_plan(None, {"grading.network": network, "grading.leave_out_network_tasks": True})
    (task,) = catalog.load("bundled", limit=1)
    tasks = [task.model_copy(update={"id": name}) for name in (REQUESTS, SPHINX, "django__django-11099")]
    made = manifests.compose(plan, tasks, run_id="r", server=None, base_image=None, excluded={})
    assert set(made.excluded) == excluded


def test_the_known_tasks_are_of_the_benchmark(shared_data: Path) -> None:
    rows = (shared_data / "swebench_verified_500.jsonl").read_text()
    assert all(f'"{name}"' in rows for name in network_dependent())
    assert len(network_dependent()) == 11
