"""Run directories for tests of the page: large and plausible, or small and hostile."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from evals.record import AttemptKey, Failure, Grade, GraderVerdict, Outcome, Party, Record
from evals.run.ledger import Ledger
from evals.run.manifest import Manifest, TaskEntry
from evals.run.plan import RunPlan
from scaffolds.base import Stop
from tasks.disk import write_json

SKILL = {"bash": 0.12, "edit": 0.2, "oneshot": -0.35}
TOKENS = {"bash": 410_000, "edit": 350_000, "oneshot": 22_000}
REPOSITORIES = {
    "django/django": 46,
    "sympy/sympy": 15,
    "sphinx-doc/sphinx": 9,
    "matplotlib/matplotlib": 7,
    "pallets/flask": 1,
}
"""Weights, about as in SWE-bench Verified."""


def write_page_run(
    run: Path,
    tasks: int,
    *,
    seed: int = 0,
    model: str = "Qwen3.6-27B",
    scaffolds: Sequence[str] = tuple(SKILL),
    words: str = "",
    tests: int = 0,
    **plan: object,
) -> Path:
    """A run of `tasks` tasks with every kind of outcome in it; `words` stand wherever others' text can stand;
    `tests` is the number of tests in each grade."""
    chance = random.Random(seed)
    repos = chance.choices(list(REPOSITORIES), list(REPOSITORIES.values()), k=tasks)
    entries = [
        TaskEntry(id=f"{repo.replace('/', '__')}-{1000 + n}", hash="h", repo=repo + words, image="sha256:0")
        for n, repo in enumerate(repos)
    ]
    manifest = Manifest(
        run_id=run.name,
        created="2026-04-22T09:30:00+00:00",
        plan=RunPlan.model_validate(
            {
                "scaffolds": tuple(scaffolds),
                "model": {
                    "base_url": "http://h/v1",
                    "model": model + words,
                    "sampling": {"temperature": 1.0},
                },
                "margin": 3.0,
                **plan,
            }
        ),
        benchmark="swe-bench-verified",
        tasks=tuple(entries),
        server={"window": 131_072, "quantization": "Q4_K_M" + words, "dialect": "llama-server" + words},
        scaffold_source="s",
        versions={"asclaimed": "0.1.0"},
        host={},
    )
    run.mkdir(parents=True)
    write_json(run / "manifest.json", manifest)
    ledger = Ledger(run / "ledger.jsonl")
    ledger.append("run-started")
    ledger.close()
    difficulty = {entry.id: chance.random() for entry in entries}
    for key in manifest.counted_keys():
        write_page_attempt(run, key, difficulty[key.task_id], chance, words, tests)
    return run


def write_page_attempt(
    run: Path, key: AttemptKey, difficulty: float, chance: random.Random, words: str, tests: int
) -> None:
    solved = difficulty + chance.gauss(0, 0.18) < 0.6 + SKILL.get(key.scaffold, 0.0)
    fate = chance.random()
    if fate < 0.004:
        return
    directory = key.directory(run)
    directory.mkdir(parents=True)
    stop = Stop.SUBMITTED if solved or chance.random() < 0.6 else chance.choice(list(Stop))
    failure = Failure(party=Party.SERVER, message=f"no answer {words}") if fate < 0.012 else None
    tokens = int(TOKENS.get(key.scaffold, 100_000) * chance.uniform(0.4, 1.8))
    record = Record(
        key=key,
        task_hash="h",
        image="sha256:0",
        stop=None if failure else stop,
        detail=words,
        failure=failure,
        patch_sha256="0",
        patch_bytes=1,
        steps=chance.randint(5, 60),
        prompt_tokens=tokens,
        completion_tokens=tokens // 40,
        active_seconds=tokens / 900,
        calls_native=chance.randint(5, 60),
        calls_recovered=chance.choice([0, 0, 0, 1]),
        calls_malformed=chance.choice([0, 0, 2]),
        flags=(f"patch touches conftest: tests/conftest.py {words}",) if fate > 0.985 else (),
        started="2026-04-22T09:30:00+00:00",
    )
    if failure is None:
        for name in ("patch.diff", "test.log", "trajectory.json"):
            (directory / name).write_text(words or "x")
        grade = page_grade(solved, stop, fate, words, tests)
        (directory / "grade.json").write_text(grade.model_dump_json(), "utf-8")
    (directory / "record.json").write_text(
        record.model_dump_json(), "utf-8"
    )  # an fsync each would be most of the time


def page_grade(solved: bool, stop: Stop, fate: float, words: str, tests: int) -> Grade:
    if solved and fate > 0.97:
        official, outcome = Outcome.RESOLVED, Outcome.VIOLATION
    elif solved:
        official = outcome = Outcome.RESOLVED
    else:
        official = outcome = Outcome.NO_PATCH if stop is Stop.NO_TOOL_CALL else Outcome.UNRESOLVED
    reason = "" if solved else f"2 of 14 tests did not pass {words}".strip()
    found = {
        f"tests/test_module_{n % 7}.py::TestOfSomething::test_case_{n}[parameter]": "passed"
        for n in range(tests)
    }
    return Grade(
        outcome=outcome,
        official=GraderVerdict(outcome=official, reason=reason, tests=found),
        strict=GraderVerdict(outcome=outcome, tests=found),
        grader="swebench==5.0.2",
        key="k",
    )
