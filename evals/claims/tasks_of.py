"""Where the tasks of a claim's benchmark come from, in one line: what `--tasks` takes, and what is missing where it can take nothing.

Nothing is looked up. Not covered: whether two collections under one name are the same; a run's manifest has the hashes.
"""

from __future__ import annotations

from evals.claims.claim import same_benchmark
from tasks.catalog import OURS
from tasks.swebench import DATASETS

MACHINES = ("terminal-bench-2.0", "terminal-bench-2.1", "skillsbench")
"""Benchmarks that are published as Harbor task directories."""
ANSWERS = {
    "aime-2026": "its 30 problems",
    "humaneval-plus": "its 164 problems, with EvalPlus's tests",
    "livecodebench": "its problems, of the release and the months that the claim counts, where it states them",
    "livecodebench-v6": "the problems of release 6, of the months that the claim counts, where it states them",
}
"""Benchmarks that ask for an answer and need no machine → what is missing here."""


def tasks_option(benchmark: str) -> str:
    """What to give to `--tasks`."""
    known = next((name for name in (*OURS, *DATASETS) if same_benchmark(benchmark, name)), None)
    return known or f"{benchmark}={'DIR' if benchmark in (*MACHINES, *ANSWERS) else 'FILE'}"


def about_tasks(benchmark: str) -> str:
    option = f"--tasks {tasks_option(benchmark)}"
    if "=" not in option:
        return f"{option} (Hugging Face)" if benchmark not in OURS else option
    if benchmark in MACHINES:
        return f"{option}, a checkout of its Harbor task directories"
    if benchmark in ANSWERS:
        return (
            f"missing here: {ANSWERS[benchmark]}, which asclaimed neither has nor fetches. As Harbor task directories, "
            f"with a verifier each (Harbor has adapters for such benchmarks): {option} --scaffold oneshot"
        )
    return f"asclaimed knows of no tasks under the name {benchmark}; {option} takes rows or task directories that you have"
