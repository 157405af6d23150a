"""What a run says to its model is on disk, once; served again, the same code asks the same, and other code is told where not."""

from __future__ import annotations

import gzip
import http.client
import json
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evals.commands.replay import recorded
from evals.record import Record
from evals.run import manifest as manifests
from evals.run.exchanges import FILE, ExchangeLog, read_exchanges
from evals.run.plan import RunPlan
from evals.run.replay import OVER, Replayed, Tape, TapeServer, difference, first_divergence, replay_attempt
from scaffolds.base import Settings, Stop
from scaffolds.model import Exchange
from tasks.sandbox import Sandbox
from tasks.untrusted import loads
from tests.fakes.local_sandbox import LocalSandbox
from tests.fakes.openai_server import Answer, Body, FakeServer, call, error, say
from tests.fakes.plain_backend import PlainBackend
from tests.fakes.plain_context import plain_context
from tests.served_run import make_task, plan_for, work

TASKS = [make_task(name) for name in ("one", "two", "three")]
COMMANDS = (
    "ls",
    "cat greeting.txt",
    "echo hello > greeting.txt",
    "printf 'a\\303\\251 \\377'",
    "wc -c greeting.txt",
)


@pytest.fixture
def sandboxes(tmp_path: Path) -> Callable[[], Sandbox]:
    numbers = iter(range(1000))

    def make() -> Sandbox:
        directory = tmp_path / f"sandbox{next(numbers)}"
        directory.mkdir()
        (directory / "greeting.txt").write_text("good day\n")
        return LocalSandbox(directory)

    return make


def talk(body: Body) -> Answer:
    """Five commands, then done; a malformed and an empty answer in between."""
    turn = sum(message["role"] == "assistant" for message in body["messages"])
    if turn == 2:
        return call("bash", '{"command": ')
    if turn == 3:
        return say("", reasoning_content="Hm \ud800.")
    return call("bash", {"command": COMMANDS[turn % 5]}) if turn < 7 else call("submit")


def made_by(server: FakeServer, directory: Path, sandboxes: Callable[[], Sandbox], **plan: Any) -> RunPlan:
    chosen = plan_for(server.url, **plan)
    work(directory, chosen, TASKS, backend=PlainBackend(sandboxes))
    return chosen


def replay(
    run: Path, plan: RunPlan, again: Path, sandboxes: Callable[[], Sandbox], **other: Any
) -> list[Replayed]:
    found = []
    with TapeServer() as server:
        for number, key in enumerate(recorded(run, manifests.load(run), None)):
            context = plain_context(
                again / str(number),
                backend=PlainBackend(sandboxes),
                settings=Settings(budget=plan.budget, tool_calls=plan.tool_calls),
                model=plan.model,
                **other,
            )
            task = next(task for task in TASKS if task.id == key.task_id)
            found.append(replay_attempt(run, key, task, context, server))
    return found


@pytest.mark.parametrize("stream", [True, False])
def test_the_same_code_asks_the_same_of_a_recording(
    tmp_path: Path, sandboxes: Callable[[], Sandbox], stream: bool
) -> None:
    with FakeServer(talk) as server:
        plan = made_by(server, tmp_path / "run", sandboxes, scaffolds=("bash", "edit"))
    found = replay(tmp_path / "run", plan, tmp_path / "again", sandboxes)
    assert [(one.divergence, one.calls) for one in found] == [("", 8)] * 6


def test_what_a_server_refused_and_what_broke_off_comes_again(
    tmp_path: Path, sandboxes: Callable[[], Sandbox]
) -> None:
    """A 503 that passed, a stream that broke off, and a window that was full at last."""
    overflow = error(400, {"error": {"message": "maximum context length is 9 tokens", "type": "x"}})
    script = [
        error(503, "busy"),
        call("bash", {"command": "ls"}),
        Answer([b"data: {}"], reset=True),
        call("bash", {"command": "ls"}),
        overflow,
    ]
    with FakeServer(*script) as server:
        plan = plan_for(server.url)
        work(tmp_path / "run", plan, TASKS[:1], backend=PlainBackend(sandboxes))
    kinds = [one.status for one in read_exchanges(tmp_path / "run/bash/one/1")]
    assert kinds == [503, 200, 0, 200, 400]
    (found,) = replay(tmp_path / "run", plan, tmp_path / "again", sandboxes)
    assert (found.divergence, found.calls) == ("", 4)


def test_another_prompt_and_another_observation_are_named(
    tmp_path: Path, sandboxes: Callable[[], Sandbox]
) -> None:
    with FakeServer(talk) as server:
        plan = made_by(server, tmp_path / "run", sandboxes)

    def poorer() -> Sandbox:
        sandbox = sandboxes()
        sandbox.write("/testbed/greeting.txt", b"good night\n")
        return sandbox

    other = plan.model_copy(update={"budget": plan.budget.model_copy(update={"observation_characters": 100})})
    found = replay(tmp_path / "run", plan, tmp_path / "again", poorer)
    assert [one.calls for one in found] == [2] * 3
    assert "call 3: message 6 (tool) differs: recorded" in found[0].divergence
    assert "good day" in found[0].divergence
    assert "good night" in found[0].divergence
    shutil.rmtree(tmp_path / "again")
    found = replay(tmp_path / "run", other, tmp_path / "again", sandboxes)
    assert [one.divergence for one in found] == [""] * 3, "no observation was so long"
    hot = plan.model_copy(update={"model": hotter(plan)})
    shutil.rmtree(tmp_path / "again")
    (first, *_) = replay(tmp_path / "run", hot, tmp_path / "again", sandboxes)
    assert (first.calls, first.divergence.partition(":")[0]) == (0, "call 1")
    assert "`temperature` differs" in first.divergence


def hotter(plan: RunPlan) -> Any:
    assert plan.model
    sampling = plan.model.sampling.model_copy(update={"temperature": 0.5})
    return plan.model.model_copy(update={"sampling": sampling})


def test_another_patch_is_a_divergence_after_the_last_call(
    tmp_path: Path, sandboxes: Callable[[], Sandbox]
) -> None:
    with FakeServer(call("bash", {"command": "true"}), call("submit")) as server:
        plan = plan_for(server.url)
        work(tmp_path / "run", plan, TASKS[:1], backend=PlainBackend(sandboxes))

    def dirty() -> Sandbox:
        sandbox = sandboxes()
        sandbox.write("/testbed/left.txt", b"here\n")
        return sandbox

    (found,) = replay(tmp_path / "run", plan, tmp_path / "again", dirty)
    assert found.divergence.startswith("every call came again, and its patch_sha256 is")


def test_a_history_is_stored_once_and_reads_back_byte_for_byte(tmp_path: Path) -> None:
    """40 turns of 4,000 characters that do not compress: 3.3 MB of requests."""
    noise = "".join(chr(33 + (n * n * 7919 + n // 7) % 90) for n in range(200_000))
    exchanges, messages = [], []
    for turn in range(40):
        messages.append({"role": "user", "content": noise[turn * 4000 : (turn + 1) * 4000] + " é\udc80"})
        request = json.dumps({"model": "m", "messages": messages}, ensure_ascii=False, separators=(",", ":"))
        exchanges.append(
            Exchange(request.encode("utf-8", "replace"), 200, "application/json", b"\xff\x00answer")
        )
    with ExchangeLog(tmp_path) as log:
        for exchange in exchanges:
            log(exchange)
    assert list(read_exchanges(tmp_path)) == exchanges
    text = gzip.decompress((tmp_path / FILE).read_bytes())
    assert len(text) < 1.1 * len(exchanges[-1].request) + 40 * 200
    assert len(text) * 15 < sum(len(one.request) for one in exchanges)


def test_a_kill_loses_no_more_than_the_exchange_under_way(tmp_path: Path) -> None:
    exchanges = [Exchange(b'{"messages":[%d]}' % n, 200, "a/b", b"x") for n in range(5)]
    log = ExchangeLog(tmp_path)
    for exchange in exchanges:
        log(exchange)  # and then no end
    log.__exit__(None, None, None)
    whole = (tmp_path / FILE).read_bytes()
    counts = set()
    for cut in range(len(whole)):
        (tmp_path / FILE).write_bytes(whole[:cut])
        found = list(read_exchanges(tmp_path))
        assert found == exchanges[: len(found)]
        counts.add(len(found))
    assert counts == {0, 1, 2, 3, 4, 5}


def test_requests_that_differ_otherwise_are_told_apart() -> None:
    assert "same in other bytes" in difference(b'{"a": 1}', b'{"a":1}')
    assert "message 2 (user) differs: recorded 'nothing'" in difference(
        b'{"messages":[1]}'.replace(b"1", b'{"role":"user"}'),
        b'{"messages":[{"role":"user"},{"role":"user","content":"go on"}]}',
    )
    assert "recorded 'no JSON'" in difference(b"no JSON", b"neither")


ASCLAIMED = str(Path(sys.executable).with_name("asclaimed"))


@pytest.mark.docker
@pytest.mark.usefixtures("docker_daemon")
def test_a_run_of_the_command_line_is_replayed_in_real_containers(tmp_path: Path) -> None:
    """Two attempts; the recording of one is changed before, and that one is named."""
    commands = ("pwd", "ls -1", "git log --oneline | wc -l", "echo '# x' >> README.md")

    def act(body: Body) -> Answer:
        turn = sum(message["role"] == "assistant" for message in body["messages"])
        return call("bash", {"command": commands[turn]}) if turn < len(commands) else call("submit")

    run = tmp_path / "run"
    options = ["--tasks", "bundled", "--limit", "2", "--scaffold", "bash", "--no-grade", "--out", str(run)]
    with FakeServer(act) as server:
        asked = [ASCLAIMED, "run", *options, "--base-url", server.url, "--model", "fake"]
        subprocess.run(asked, check=True, capture_output=True, timeout=280)
    first, second = recorded(run, manifests.load(run), None)
    place = second.directory(run)
    kept = list(read_exchanges(place))
    (place / FILE).unlink()
    with ExchangeLog(place) as log:
        for exchange in kept:
            log(exchange._replace(request=exchange.request.replace(b"/testbed", b"/elsewhere")))
    done = subprocess.run(
        [ASCLAIMED, "replay", str(run), "--json"], capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 1, done.stderr
    same, other = loads(done.stdout)
    assert same == {"key": first.model_dump(), "calls": 5, "divergence": ""}
    assert other["calls"] == 0
    assert other["divergence"].startswith("call 1: message 2 (user) differs: recorded")


def test_a_difference_is_shown_with_what_stands_around_it() -> None:
    long = "x" * 1000

    def said(text: str) -> bytes:
        return json.dumps({"messages": [{"role": "user", "content": text}]}).encode()

    line = difference(said(f"{long}here{long}"), said(f"{long}there{long}"))
    assert line.startswith("message 1 (user) differs: recorded '")
    recorded, now = (part.rpartition("'")[0].rpartition("'")[2] for part in line.split(", now "))
    assert (recorded.index("h"), now.index("t")) == (30, 30)
    assert (len(recorded), len(now)) == (60, 60)
    assert recorded.strip("x") == "here"
    short = difference(said("no"), said("nobody"))
    assert short.endswith("""recorded '{"content": "no"}', now '{"content": "nobody"}'""")
    assert difference(b'{"a": 1}', b'{ "a": 1 }') == "the same in other bytes"
    longer = difference(b"x" * 100, b"x" * 200)
    assert longer == f"recorded {'x' * 30!r}, now {'x' * 60!r}"


def exchange(text: str, status: int = 200) -> Exchange:
    return Exchange(text.encode(), status, "application/json", b"answer")


def test_a_tape_passes_over_what_broke_off_and_was_asked_again() -> None:
    tape = Tape([exchange("a"), exchange("b", 0), exchange("b")])
    assert [tape.answer(asked).status for asked in (b"a", b"b")] == [200, 200]
    assert (tape.calls, tape.at_end, tape.divergence) == (2, True, "")
    assert tape.answer(b"c").status == 400
    assert tape.answer(b"a").status == 400
    assert (tape.calls, tape.divergence) == (2, "call 3 is one more than was recorded")
    broken = Tape([exchange("a"), exchange("b", 0)])
    assert (broken.answer(b"a").status, broken.at_end) == (200, True), "of the last one there is no answer"
    assert (broken.answer(b"b").status, broken.calls, broken.divergence) == (400, 1, "")


@pytest.mark.parametrize(
    ("asked", "before", "now", "words"),
    [
        ("ab", {}, {}, ""),
        ("ab", {}, {"steps": 2}, "every call came again, and its steps is 2, not 1"),
        ("ab", {}, {"stop": Stop.STEP_LIMIT}, "every call came again, and its stop is"),
        ("a", {}, {}, "it ended after call 1 (submitted); then came more"),
        ("ac", {}, {}, "call 2: recorded 'b', now 'c'"),
        ("ab", {}, None, "the recording ends before the attempt does"),
        ("abc", {}, None, "call 3 is one more than was recorded"),
        ("abc", {"stop": Stop.TIME_LIMIT}, None, ""),
        ("ab", {"stop": Stop.TIME_LIMIT}, {"steps": 9}, ""),
        ("a", {"stop": Stop.TIME_LIMIT}, {}, "it ended after call 1 (submitted); then came more"),
    ],
)
def test_the_first_thing_that_was_not_as_recorded(
    asked: str, before: dict[str, Any], now: dict[str, Any] | None, words: str
) -> None:
    def record(**facts: Any) -> Record:
        key = {"scaffold": "s", "task_id": "t", "attempt": 1}
        bare = {
            "key": key,
            "task_hash": "h",
            "image": "i",
            "stop": Stop.SUBMITTED,
            "started": "s",
            "steps": 1,
        }
        return Record.model_validate(bare | facts)

    tape = Tape([exchange("a"), exchange("b")])
    for one in asked:
        tape.answer(one.encode())
    found = first_divergence(tape, record(**before), None if now is None else record(**now))
    assert found.startswith(words)
    assert bool(found) == bool(words)


def test_a_tape_is_served_on_a_port_of_its_own_and_no_longer_than_it_is_played() -> None:
    before = set(threading.enumerate())
    with TapeServer() as one, TapeServer() as two:
        assert one.url != two.url
        address = one.url.removeprefix("http://").removesuffix("/v1")
        left_open = http.client.HTTPConnection(address)
        left_open.request("POST", "/v1/chat/completions", b"a")
        answer = left_open.getresponse()
        assert (answer.status, answer.headers["Content-Type"], answer.read()) == (
            400,
            "application/json",
            OVER,
        )
        begun = set(threading.enumerate()) - before
        assert all(thread.daemon for thread in begun), "nobody waits for a client that stays"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.partition(":")[0], int(address.partition(":")[2])), timeout=5)
    left_open.close()
    for thread in begun:
        thread.join(5)
        assert not thread.is_alive()
