"""One Ctrl-C is always noticed: whatever swallows it, and at whatever point of a run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from evals.commands.interrupts import LINKS, is_dealt_with
from tests.fakes.openai_server import FakeServer, call

ROOT = Path(__file__).parents[1]

SETTING = """
import ctypes, gc, os, signal, sys, time, weakref
from evals.commands import interrupts
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell's background job lacks
def ctrl_c(*_): os.kill(os.getpid(), signal.SIGINT)
class Dies:
    def __del__(self): ctrl_c()
class Thing: pass
def hides():
    try: ctrl_c()
    except BaseException: pass
with interrupts.noticed():
    try:
        BODY
        time.sleep(20)
        print("lost")
    except KeyboardInterrupt:
        print("noticed")
"""


def said(body: str, **more: str) -> str:
    """What comes of a Ctrl-C in BODY; nothing may be said on stderr."""
    script = SETTING.replace("BODY", body.replace("\n", "\n        "))
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize(
    "swallowing",
    [
        "Dies()",
        "thing = Thing(); thing.kept = weakref.ref(thing, ctrl_c); again = weakref.ref(thing, ctrl_c); del thing",
        "ctypes.CFUNCTYPE(None)(ctrl_c)()",
        "hides()",
        "hides()\ntry: hides()\nexcept BaseException: pass",
    ],
)
def test_what_swallows_it_hears_of_it_again(swallowing: str) -> None:
    assert said(swallowing) == "noticed\n"


def test_who_deals_with_it_is_left_in_peace() -> None:
    """A clean-up of seconds, in a `finally` and in a generator's; and whoever says that it took notice."""
    slow = "import contextlib\n@contextlib.contextmanager\ndef slow():\n try: yield\n finally: time.sleep(1.2); print('cleaned')\n"
    assert said(f"{slow}with slow(): ctrl_c()") == "cleaned\nnoticed\n"
    caught = "try: ctrl_c()\nexcept KeyboardInterrupt: interrupts.took_notice()\ntime.sleep(1.2); print('went on'); sys.exit()"
    assert said(caught) == "went on\n"


def test_the_handler_is_the_callers_again_afterwards() -> None:
    after = "interrupts.state.insists = False\nsys.exit()"
    script = SETTING.replace("BODY", after.replace("\n", "\n        "))
    script = script.replace(
        "with interrupts.noticed():", "hook = sys.unraisablehook\nwith interrupts.noticed():"
    )
    script = script.replace("sys.exit()", "pass").replace(
        "time.sleep(20)", "assert signal.getsignal(2) is interrupts.interrupted"
    )
    script += "assert signal.getsignal(2) is signal.default_int_handler\nassert sys.unraisablehook is hook\n"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "lost\n", "")


def test_an_error_that_came_of_it_is_part_of_dealing_with_it() -> None:
    error: BaseException = KeyboardInterrupt()
    assert is_dealt_with(error)
    assert is_dealt_with((type(error), error, None)), "as Python 3.11 has it"
    for _ in range(3):
        later = ValueError()
        later.__context__, error = error, later
    assert is_dealt_with(error)
    assert not is_dealt_with(ValueError())
    assert not is_dealt_with(None)
    assert not is_dealt_with((None, None, None))
    round_and_round = ValueError()
    for _ in range(LINKS):
        later = ValueError()
        later.__context__, round_and_round = round_and_round, later
    assert not is_dealt_with(round_and_round)


STUCK = """
import os, signal, sys, time
from evals.run.lock import interruptible

def gently():
    print("gently", flush=True)
    raise BrokenPipeError
def at_once():
    print("at once", flush=True)
    raise_it() if sys.argv[1] == "fails" else time.sleep(60)
with interruptible(gently=gently, at_once=at_once):
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGINT)
    time.sleep(2)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)
"""


@pytest.mark.parametrize("how", ["hangs", "fails"])
def test_what_hangs_or_fails_on_the_way_to_its_end_ends_all_the_same(how: str) -> None:
    """A daemon that does not answer, when its containers are to be removed: a third Ctrl-C waits for nobody."""
    done = subprocess.run(
        [sys.executable, "-c", STUCK, how], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stdout) == (130, "gently\nat once\n")


@pytest.mark.docker
def test_at_every_stage_of_a_run_it_ends_with_130_and_the_way_to_go_on(
    docker_daemon: None, tmp_path: Path
) -> None:
    """Before there is anything to go on with; while attempts are made; while the report is written."""
    begun = {"examined": False, "execute": True, "to_html": True}
    with FakeServer(call("bash", command="true"), call("submit")) as server:
        words = ["run", "--tasks", "bundled", "--limit", "2", "--workers", "1", "--scaffold", "bash"]
        words += ["--no-grade", "--base-url", server.url, "--model", "fake", "--out", f"{tmp_path}/{{}}"]
        command = [sys.executable, "-m", "tests.interrupted_run", ",".join(begun), str(tmp_path), *words]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    ends = {line.split()[0]: line.split()[1] for line in done.stdout.strip().split("\n")}
    assert ends == dict.fromkeys(begun, "130")
    for stage, to_go_on in begun.items():
        out = (tmp_path / f"{stage}.out").read_text()
        assert "Traceback" not in out
        assert (stage, "to go on: asclaimed run --tasks bundled --limit 2 " in out) == (stage, to_go_on)
        assert (stage, out.strip().endswith(f"--out {tmp_path}/{stage}")) == (stage, to_go_on)
