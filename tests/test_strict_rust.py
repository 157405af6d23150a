"""Strict for `cargo test`: with the real cargo where this machine has it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from random import Random

import pytest

from evals.grade.strict.language import Names
from evals.grade.strict.result_file import read_results
from evals.grade.strict.runners import RUST, runner_of
from evals.record import Outcome
from tests.local_runs import PATH, Project, judged, patch

NAMES = Names("/opt/a/site", "m1", "/tmp/r", "k")
TESTS = """\
use sum::sum;

#[test]
fn adds() {
    assert_eq!(sum(2, 2), 4);
}

mod more {
    #[test]
    fn keeps_nothing() -> Result<(), String> {
        assert_eq!(super::sum(0, 0), 0);
        Ok(())
    }
}
"""
FORCED = """\
#[used]
#[link_section = ".init_array"]
static START: extern "C" fn() = start;

extern "C" fn start() {
    if std::env::args().all(|argument| argument != "--list") {
        println!("running 2 tests\\ntest adds ... ok\\ntest more::keeps_nothing ... ok");
        std::process::exit(0);
    }
}

pub fn sum(a: i32, b: i32) -> i32 { START; a - b }
"""
LEAVES = "pub fn sum(_: i32, _: i32) -> i32 { std::process::exit(0) }\n"
WRITES = """\
pub fn sum(a: i32, b: i32) -> i32 {
    for place in std::fs::read_dir("../tmp").unwrap() {
        let code = "0".repeat(64);
        let line = format!("{} [\\"1\\", \\"test\\", [\\"adds\\"], \\"passed\\"]\\n", code);
        std::fs::write(place.unwrap().path(), line).unwrap();
    }
    a + b
}
"""
CARGO = Project(
    files={"Cargo.toml": '[package]\nname = "sum"\nversion = "0.1.0"\nedition = "2018"\n'},
    source="src/lib.rs",
    good="pub fn sum(a: i32, b: i32) -> i32 { a + b }\n",
    wrong="pub fn sum(a: i32, b: i32) -> i32 { a - b }\n",
    cheat=FORCED,
    tests={"tests/sum.rs": TESTS},
    command="RUSTFLAGS=-Awarnings cargo test --test sum",
    hidden="adds",
    known="more::keeps_nothing",
)
real = pytest.mark.skipif(shutil.which("cargo", path=PATH) is None, reason="cargo is not on this machine")


@real
def test_a_fix_passes_and_what_forces_passes_does_not(tmp_path: Path) -> None:
    good = judged(CARGO, patch(CARGO, CARGO.good), tmp_path)
    assert (good.available, good.column.outcome, good.column.reason) == (True, Outcome.RESOLVED, "")
    assert good.column.tests == {"adds": "passed", "more::keeps_nothing": "passed"}
    wrong = judged(CARGO, patch(CARGO, CARGO.wrong.replace("- b", "- b - 1")), tmp_path)
    assert wrong.column.outcome is Outcome.UNRESOLVED
    said = "tests made to fail did not fail"
    for cheat, reason in ((FORCED, said), (LEAVES, said), (WRITES, "are not our reporter's")):
        found = judged(CARGO, patch(CARGO, cheat), tmp_path)
        assert found.column.outcome is Outcome.VIOLATION, found
        assert reason in found.column.reason


UNIT = """\
//! ```
//! assert_eq!(many::one(), 1);
//! ```
pub fn one() -> i32 { 1 }

#[cfg(test)]
mod tests {
    #[test]
    fn passes() { println!("test tests::fails ... ok"); assert!(std::env::vars().all(|(name, _)| !name.ends_with("_RUNNER"))); }
    #[test]
    fn fails() { assert_eq!(super::one(), 2); }
    #[test]
    fn dies() { std::process::abort(); }
    #[test]
    fn left_out() { panic!(); }
    #[test]
    #[ignore]
    fn ignored() { panic!(); }
    #[test]
    #[should_panic]
    fn panics() { panic!(); }
}
"""
MANY = {
    "Cargo.toml": CARGO.files["Cargo.toml"].replace('"sum"', '"many"')
    + '\n[[test]]\nname = "own"\npath = "own.rs"\nharness = false\n',
    "src/lib.rs": UNIT,
    "own.rs": 'fn main() { println!("own: ok"); }\n',
}


@real
def test_each_test_is_judged_by_how_its_own_process_ends(tmp_path: Path) -> None:
    """Of a crate with all that `cargo test` runs, doc tests and a harness of its own included."""
    for name, text in MANY.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "site").mkdir()
    names = Names(str(tmp_path / "site"), "m1", str(tmp_path / "results"), "k" * 64)
    for path, content in RUST.delivered(names).items():
        Path(path).write_bytes(content)
    line = RUST.command(names, "cargo test -- --skip left_out --test-threads 2 --nocapture")
    script = "\n".join(("main() {", *RUST.before(names), line, "exit $?", "}", "main"))
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    results = read_results((tmp_path / "results").read_bytes(), names.key)
    assert results.states == {
        "tests::passes": "passed", "tests::fails": "failed", "tests::dies": "failed", "tests::ignored": "skipped",
        "tests::panics": "passed",
    }, done.stderr  # fmt: skip
    assert (results.ended, results.forged, done.returncode) == (True, 0, 101)
    assert "own: ok" in done.stdout
    assert "Doc-tests many" in done.stderr


@pytest.mark.parametrize(
    "text",
    [
        "#[test]\nfn a() {\n}\n",
        "    #[tokio::test(start_paused = true)]\n    #[cfg(unix)] // why\n    pub async fn a() -> io::Result<()> {\n    }\n",
        "#[case(1)]\nfn a(#[case] n: u8) {\n}\n",
        "rgtest!(a, |dir: Dir, mut cmd: TestCommand| {\n});\n",
    ],
)
def test_a_rust_test_is_broken_so_that_all_of_it_runs(text: str) -> None:
    source = f"fn a() {{}}\nfn b() {{}}\n{text}".encode()
    mutant = RUST.broken(source, {"a", "gone"}, Random(1))
    assert mutant.functions == {"a"}
    head, _, rest = mutant.source.partition(b"struct ")
    assert rest.count(b"assert_eq!(self.0, ") == 1
    assert source.startswith(head.rstrip())
    assert head.startswith(b"fn a() {}\nfn b() {}\n")


def test_a_snapshot_is_broken_by_a_line_more() -> None:
    snapshot = b"---\nsource: src/a.rs\nexpression: x\n---\none\n\ntwo\n"
    mutant = RUST.broken(snapshot, {"rule_a_expects"}, Random(2))
    assert mutant.functions == {"rule_a_expects"}
    assert sorted(mutant.source.split(b"\n")) in (
        sorted([*snapshot.split(b"\n"), line]) for line in (b"one", b"two")
    )
    empty = RUST.broken(b"---\nsource: src/a.rs\n---\n", {"a"}, Random(1)).source
    assert len(empty.strip().split(b"\n")) == 4


def test_rusts_names_and_commands() -> None:
    assert runner_of(["RUSTFLAGS=-Awarnings cargo test --package ruff_linter 'f52'"], ["F523.py"]) is RUST
    assert runner_of(["./own"], ["a.rs"]) is RUST
    assert isinstance(runner_of(["./own"], ["a.snap"]), str)
    functions = {"r::tests::head": "head", "a": "a", "m::adds::case_1": "adds", "m::adds::case_02_x": "adds"}
    assert {test_id: RUST.function_of(test_id) for test_id in functions} == functions
    changed = {
        "A=b cargo test --lib -- x": "A=b cargo test --no-fail-fast --lib -- x",
        "cargo +1.81 test x": "cargo +1.81 test --no-fail-fast x",
        "cargo test x --no-fail-fast": "cargo test x --no-fail-fast",
        "cargo build": "cargo build",
    }
    assert {line: RUST.command(NAMES, line) for line in changed} == changed
