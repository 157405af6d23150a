"""`python -m tests.mutants [FILE …]`: which mutants no test notices. Resumes from `mutants.jsonl`; its lines are results."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import tempfile
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pathlib import Path

import yaml

from tests.mutants.covering import Covering, covering, given, importing
from tests.mutants.mutate import Mutant, mutants
from tests.mutants.trial import ROOT, SLOW_TO_IMPORT, copy_of, notice

SCOPE = (
    "evals/record.py", "evals/grade/*.py", "evals/results/*.py", "evals/run/*.py", "evals/verdict/*.py",
    *(f"evals/stats/{name}.py" for name in ("equivalence", "intervals", "noise", "paired", "sequential")),
)  # fmt: skip
LEFT_OUT = ("evals/grade/official_worker.py",)
"""Runs in a process of its own, under another Python at times: no test runs a line of it in ours."""
CACHE = ROOT / ".mutants"
RESULTS = CACHE / "results.jsonl"
EQUIVALENT = Path(__file__).with_name("equivalent.yaml")


def main() -> None:
    """Draw, run what is not known yet, and print survivors and the rate."""
    options = arguments()
    files = sorted(
        {str(p.relative_to(ROOT)) for pattern in options.files or SCOPE for p in ROOT.glob(pattern)}
        - {*LEFT_OUT}
    )
    found = [m for file in files for m in mutants(file, (ROOT / file).read_bytes())]
    drawn = random.Random(options.seed).sample(found, min(options.sample or len(found), len(found)))
    for name in SLOW_TO_IMPORT:
        import_module(name)
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mutants-") as home:
        with copy_of(Path(home)) as copy:
            covers = (
                given(options.tests) if options.tests
                else importing(ROOT) if options.importers
                else covering(copy, CACHE / "covering", files)
            )  # fmt: skip
            if options.tests and notice(copy, dict.fromkeys(options.tests, 60.0)):
                raise SystemExit("these tests fail without any mutant")
        known = Known()
        todo = [m for m in drawn if not known.is_done(m, covers)]
        print(
            f"{len(found)} mutants of {len(files)} files, {len(drawn)} drawn, {len(todo)} to run", flush=True
        )
        workers = [
            fork(todo[n :: options.workers], covers, Path(home) / str(n)) for n in range(options.workers)
        ]
        for worker in workers:
            os.waitpid(worker, 0)
    report(drawn, covers)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("files", nargs="*", help="instead of all that make a verdict; patterns may be used")
    parser.add_argument("--sample", type=int, help="only so many, drawn at random")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument(
        "--tests", nargs="+", help="only these test files, for every mutant: quick, nothing is measured"
    )
    parser.add_argument(
        "--importers",
        action="store_true",
        help="only test files that import the mutant's module, or one that does: nothing is measured, and what survives is an upper bound",
    )
    parser.add_argument("--workers", type=int, default=2)
    return parser.parse_args()


def fork(share: Sequence[Mutant], covers: Covering, home: Path) -> int:
    """A process with a copy of its own that runs a share of the mutants and appends their results."""
    if worker := os.fork():
        return worker
    home.mkdir()
    with copy_of(home) as copy:
        for mutant in share:
            noticed = trial(mutant, covers, copy)
            line = {"key": key(mutant, covers), "noticed": noticed, "mutant": str(mutant)}
            with RESULTS.open("a") as results:
                results.write(json.dumps(line, ensure_ascii=False) + "\n")
            print("." if noticed else f"\n{mutant}\n", end="", flush=True)
    os._exit(0)


def trial(mutant: Mutant, covers: Covering, copy: Path) -> bool:
    """Whether a test notices; none can where none runs the line."""
    tests, path = covers.of(mutant), copy / mutant.file
    source = path.read_bytes()
    try:
        path.write_bytes(mutant.of(source))
        os.utime(path, (1, 1))  # no bytecode fits it
        return bool(tests) and notice(copy, tests)
    finally:
        path.write_bytes(source)


def key(mutant: Mutant, covers: Covering) -> str:
    """The same change of the same file, and a dot, and the same tests."""
    tests = "\n".join(sorted(covers.of(mutant)))
    return f"{change(mutant)}.{hashlib.sha256(tests.encode()).hexdigest()[:12]}"


def change(mutant: Mutant) -> str:
    return mutant.key((ROOT / mutant.file).read_bytes())


class Known:
    """What earlier calls found. A mutant that was noticed once stays noticed; a survivor is tried again with other tests."""

    def __init__(self) -> None:
        lines = RESULTS.read_text().split("\n")[:-1] if RESULTS.exists() else []
        found = {line["key"]: line["noticed"] for line in map(json.loads, lines)}
        self._tried = set(found)
        self._noticed = {name.partition(".")[0] for name, noticed in found.items() if noticed}

    def noticed(self, mutant: Mutant) -> bool:
        return change(mutant) in self._noticed

    def is_done(self, mutant: Mutant, covers: Covering) -> bool:
        return self.noticed(mutant) or key(mutant, covers) in self._tried


@cache
def listed() -> list[dict[str, str]]:
    """What `equivalent.yaml` holds: single mutants, each with its file, source line and change, and rules for kinds of lines."""
    found: list[dict[str, str]] = yaml.safe_load(EQUIVALENT.read_text())
    return found


def is_equivalent(mutant: Mutant) -> bool:
    line = (ROOT / mutant.file).read_text().split("\n")[mutant.line - 1].strip()
    change = str(mutant).partition(": ")[2]

    def holds(one: dict[str, str]) -> bool:
        if one.get("change", change) != change:
            return False
        if "rule" in one:
            return re.match(one["pattern"], line) is not None
        return (one["file"], one["line"]) == (mutant.file, line)

    return any(map(holds, listed()))


def report(drawn: Sequence[Mutant], covers: Covering) -> None:
    known = Known()
    done = [m for m in drawn if known.is_done(m, covers)]
    unnoticed = [m for m in done if not known.noticed(m)]
    same = [m for m in unnoticed if is_equivalent(m)]
    survivors = [m for m in unnoticed if m not in same]
    done = [m for m in done if m not in same]
    print("\n\nnot noticed:", *sorted(map(str, survivors)), sep="\n")
    print(f"\nleft out, for they change nothing ({EQUIVALENT.name} says why): {len(same)}")
    for folder in sorted({m.file.rpartition("/")[0] for m in done}):
        here = [m.file.rpartition("/")[0] == folder for m in survivors]
        print(f"{folder}: {sum(here)} of {sum(m.file.rpartition('/')[0] == folder for m in done)} survive")
    print(f"{len(survivors)} of {len(done)} survive ({100 * len(survivors) / max(1, len(done)):.1f} %)")


if __name__ == "__main__":
    main()
