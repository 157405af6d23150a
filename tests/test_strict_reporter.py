"""The reporter in real runners, and the channel against those who write into it."""

from __future__ import annotations

import ast
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from evals.grade.strict import reporter
from evals.grade.strict.language import Names
from evals.grade.strict.result_file import Results, read_results
from evals.grade.strict.runners import PYTHON

KEY = "k" * 64


def report(
    tmp_path: Path, command: list[str], files: dict[str, str], env: dict[str, str] | None = None
) -> Results:
    """Run a command in a directory of these files, with the reporter loaded as in a container."""
    site, results = tmp_path / "site", tmp_path / "results"
    for path, content in PYTHON.delivered(Names(str(site), "m1", str(results), KEY)).items():
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).write_bytes(content)
    for name, text in files.items():
        path = tmp_path / "repo" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    environment = {
        **os.environ,
        "PYTHONPATH": str(site),
        "PYTEST_ADDOPTS": "-p m1 -p no:cacheprovider",
        **(env or {}),
    }
    subprocess.run(
        command, cwd=tmp_path / "repo", env=environment, capture_output=True, check=False, timeout=60
    )
    return read_results(results.read_bytes() if results.exists() else None, KEY)


PYTEST = [sys.executable, "-m", "pytest", "-q"]
SUITE = """
import unittest, pytest
def test_ok(): pass
def test_bad(): assert 0
@pytest.mark.skip
def test_skipped(): pass
@pytest.mark.xfail
def test_expected(): assert 0
@pytest.mark.parametrize("a", ["x y", "z"])
def test_many(a): pass
@pytest.fixture
def broken(): raise KeyError
def test_setup(broken): pass
class TestC(unittest.TestCase):
    def test_u(self): pass
    def test_v(self): self.fail()
"""


def test_pytest_states(tmp_path: Path) -> None:
    results = report(tmp_path, PYTEST, {"t/test_a.py": SUITE})
    assert (results.ended, results.forged) == (True, 0)
    assert {name.split("::", 1)[1]: state for name, state in results.states.items()} == {
        "test_ok": "passed",
        "test_bad": "failed",
        "test_skipped": "skipped",
        "test_expected": "xfailed",
        "test_many[x y]": "passed",
        "test_many[z]": "passed",
        "test_setup": "failed",
        "TestC::test_u": "passed",
        "TestC::test_v": "failed",
    }


SLOW = """
import time, unittest
class T(unittest.TestCase):
    def test_slow(self): time.sleep(0.2)
    def test_quick(self): pass
"""


@pytest.mark.parametrize("command", [PYTEST, [sys.executable, "-m", "unittest", "test_a"]])
def test_each_test_says_how_long_it_took(tmp_path: Path, command: list[str]) -> None:
    took = report(tmp_path, command, {"test_a.py": SLOW}).seconds
    assert sum(seconds >= 0.2 for name, seconds in took.items() if "test_slow" in name) == 1
    assert all(seconds >= 0 for seconds in took.values())


def test_ids_are_those_of_pytests_summary_below_the_root(tmp_path: Path) -> None:
    files = {"pytest.ini": "[pytest]\n", "t/test_a.py": "def test_ok(): pass\n"}
    results = report(tmp_path, ["sh", "-c", f"cd t && {sys.executable} -m pytest"], files)
    assert list(results.states) == ["test_a.py::test_ok"]


def test_warnings_as_errors_do_not_mind_us(tmp_path: Path) -> None:
    assert report(tmp_path, [*PYTEST, "-W", "error"], {"test_a.py": "def test_ok(): pass\n"}).states


UNITTEST = '''
import unittest
class T(unittest.TestCase):
    def test_ok(self): pass
    def test_bad(self):
        """Has a line of its own.

        And more."""
        self.fail()
    def test_sub(self):
        for i in range(3):
            with self.subTest(i=i):
                self.assertNotEqual(i, 1)
    @unittest.skip("x")
    def test_skipped(self): pass
    @unittest.expectedFailure
    def test_expected(self): self.fail()
'''


def test_unittest_states(tmp_path: Path) -> None:
    results = report(tmp_path, [sys.executable, "-m", "unittest", "-v", "test_a"], {"test_a.py": UNITTEST})
    assert results.ended
    assert results.states["Has a line of its own."] == "failed"
    states = {name.split(" (")[0]: state for name, state in results.states.items() if " (" in name}
    assert states == {
        "test_ok": "passed",
        "test_bad": "failed",
        "test_sub": "failed",
        "test_skipped": "skipped",
        "test_expected": "xfailed",
    }


def test_an_other_sitecustomize_is_still_loaded(tmp_path: Path) -> None:
    code = "import other, sys; assert not any(p.endswith('site') and 'tmp' in p for p in sys.path[1:2]); open('seen', 'w')"
    files = {"lib/sitecustomize.py": "import sys; sys.modules['other'] = sys\n"}
    report(
        tmp_path, [sys.executable, "-c", code], files, {"PYTHONPATH": f"{tmp_path}/site:{tmp_path}/repo/lib"}
    )
    assert (tmp_path / "repo" / "seen").exists()


def test_the_reporter_is_text_that_python_3_5_reads() -> None:
    source = Path(reporter.__file__).read_text()
    ast.parse(source, feature_version=(3, 5))
    assert not any(isinstance(node, ast.JoinedStr) for node in ast.walk(ast.parse(source)))


@pytest.fixture
def written(tmp_path: Path) -> bytes:
    channel = reporter.Channel(str(tmp_path / "r"), KEY)
    channel.send("test", ["a"], "failed")
    channel.send("test", ["b"], "passed")
    channel.send("end", [], "0")
    return (tmp_path / "r").read_bytes()


def test_a_true_file_is_believed(written: bytes) -> None:
    assert read_results(written, KEY)[:3] == ({"a": "failed", "b": "passed"}, True, 0)


def test_no_file_means_no_results() -> None:
    assert read_results(None, KEY) == Results({}, False, 0)


@pytest.mark.parametrize(
    "body",
    [
        '["1-1", "test", 5, "passed", 0.1]',
        '[[], "test", [], "passed", 0.1]',
        '["1-1", "test", ["a"]]',
        "{}",
        "7",
    ],
)
def test_a_line_of_another_shape_is_forged_whatever_its_code(body: str) -> None:
    """Tested code may find the key."""
    code = hashlib.sha256((KEY + body).encode()).hexdigest()
    assert read_results(f"{code} {body}\n".encode(), KEY).forged == 1


def test_a_time_that_is_none_counts_for_nothing() -> None:
    for seconds in ('"x"', "null", "1e999", "-3.0", "9" * 400):
        body = f'["1-1", "test", ["a"], "passed", {seconds}]'
        code = hashlib.sha256((KEY + body).encode()).hexdigest()
        found = read_results(f"{code} {body}\n".encode(), KEY)
        assert (found.states, found.seconds) in (({"a": "passed"}, {"a": 0.0}), ({}, {}))


@pytest.mark.parametrize("what", ["drop", "swap", "change", "add", "key", "tear", "noise", "repeat"])
def test_a_file_that_was_touched_shows_it(written: bytes, what: str) -> None:
    first, second, third = written.split(b"\n")[:-1]
    touched = {
        "drop": b"\n".join([second, third, b""]),
        "swap": b"\n".join([second, first, third, b""]),
        "change": written.replace(b'"failed"', b'"passed"'),
        "add": written + b'0000 ["1-1", "test", ["a"], "passed"]\n',
        "key": written,
        "tear": written[:-5],
        "noise": b"\xff\x00\r[]\n" + written,
        "repeat": written + first + b"\n",
    }[what]
    assert read_results(touched, "other" if what == "key" else KEY).forged > 0
