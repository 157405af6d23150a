"""A run knows its server: by the names in its answers and by a canary; what another one answered counts for nothing."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evals.claims.claim import Claim, Source, Status
from evals.commands.server import make_server_check, probe_server, who_answers
from evals.record import AttemptKey, Decision, Record
from evals.report.summary import summarise
from evals.run import same_server
from evals.run.looks import taken
from evals.run.manifest import Manifest, begin_or_resume, compose
from evals.run.plan import RunPlan
from evals.run.same_server import Change, Changes, SameServer, ServerCheck, changes
from evals.verdict.interim import InterimAnalysis
from scaffolds.openai.canary import AT_ONCE
from scaffolds.openai.config import ModelConfig
from tasks.errors import UserError
from tests.fakes.openai_server import Answer, Body, FakeServer, call, say
from tests.fakes.plain_backend import PlainBackend
from tests.fakes.plain_sandbox import PlainSandbox
from tests.served_run import by_patch, make_task, plan_for, work

TASKS = [make_task(f"t{n}") for n in range(6)]


class Server(FakeServer):
    """Signs its answers, and can become another one between two calls."""

    def __init__(self, **more: Any) -> None:
        super().__init__(self.chat, **more)
        self.canary = self.sing
        self.fingerprint, self.other, self.another = "fp-1", 0, 0
        self.before_chat: Callable[[int], None] = lambda _number: None
        self.chats = 0

    def sing(self, _body: Body) -> Answer:
        """Another model's answer for the next `other` times; another one's name for the next `another`."""
        self.other -= 1
        answer = self.signed(say("Boats." if self.other >= 0 else "Gulls."))
        if self.another:
            self.another -= 1
            self.fingerprint = "fp-2" if self.another else "fp-1"
        return answer

    def become(self, fingerprint: str, *, until: float) -> None:
        """Another one, for so many seconds."""
        self.fingerprint = fingerprint
        threading.Timer(until, lambda: setattr(self, "fingerprint", "fp-1")).start()

    def signed(self, answer: Answer) -> Answer:
        assert answer.message is not None
        whole = {**answer.message, "model": "fake", "system_fingerprint": self.fingerprint}
        return replace(answer, pieces=[json.dumps(whole).encode()], message=None)

    def chat(self, body: Body) -> Answer:
        """Not counted: what is asked to see whether it is there."""
        if len(body["messages"]) > 1:
            self.chats += 1
            self.before_chat(self.chats)
        turns = sum(message["role"] == "assistant" for message in body["messages"])
        return self.signed(
            call("submit") if turns >= 2 else call("bash", {"command": f"true {self.fingerprint}"})
        )


def plan_of(server: FakeServer, **values: Any) -> RunPlan:
    plan = plan_for(server.url, **values)
    assert plan.model
    return plan.model_copy(update={"model": plan.model.model_copy(update={"stream": False})})


def manifest_of(plan: RunPlan) -> Manifest:
    server = probe_server(plan)
    return compose(plan, TASKS, run_id="run", server=server, base_image=None, excluded={})


def watched_work(directory: Path, plan: RunPlan, *, every: float = 600.0, **more: Any) -> Any:
    """As a session does it: the manifest first, then the watch."""
    manifest = begin_or_resume(directory, manifest_of(plan))
    check = make_server_check(plan, manifest)
    assert check is not None
    return work(directory, plan, TASKS, same_server=check._replace(every=every), **more)


def kept(directory: Path) -> dict[str, list[str]]:
    """Attempt → which server answered each of its calls."""
    found = {}
    for path in sorted(directory.glob("bash/*/1/trajectory.json")):
        steps = json.loads(path.read_bytes())["steps"]
        calls = [c["arguments"].get("command", "") for s in steps for c in s.get("tool_calls", ())]
        found[path.parts[-3]] = [command.removeprefix("true ") for command in calls if command]
    return found


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(same_server, "FIRST_WAIT", 0.01)


def test_attempts_since_the_last_good_check_are_quarantined_and_made_again(tmp_path: Path) -> None:
    """At its seventh call, in the third attempt, it is another build for a while; nothing had been checked since the start."""
    with Server() as server:

        def swap(number: int) -> None:
            if number == 7:
                server.become("fp-2", until=0.3)

        server.before_chat = swap
        run = watched_work(tmp_path, plan_of(server))
    assert run.finished
    assert (run.tally.done, run.tally.graded) == (6, 6)
    assert kept(tmp_path) == {f"t{n}": ["fp-1", "fp-1"] for n in range(6)}
    assert sorted(p.parts[-2] for p in tmp_path.glob("bash/*/1.quarantined-1")) == ["t0", "t1"]
    assert [p.parts[-2] for p in tmp_path.glob("bash/*/1.failed-1")] == ["t2"], (
        "it ended with the step that told"
    )
    (change,) = changes(tmp_path).changes
    assert (change.moved, [key.task_id for key in change.attempts]) == (True, ["t0", "t1"])
    (line,) = [line for line in summarise(tmp_path).findings if "the server was another" in line]
    assert "'fp-2', the run began with 'fp-1'" in line
    assert "2 attempts made since the last good check count for nothing and are made again" in line


def test_a_server_that_is_the_same_or_does_not_answer_was_never_another(tmp_path: Path) -> None:
    for answer in ("", None):
        watch = SameServer(tmp_path, ServerCheck(None, lambda said=answer: said), lambda _keys: None)  # type: ignore[misc]
        assert watch.settle(threading.Event()) is False
        assert (watch.times, watch.suspect) == (0, False)


def test_a_server_that_comes_back_as_another_one_is_found_before_it_answers_an_attempt(
    tmp_path: Path,
) -> None:
    """Its process dies, with every connection, and another model listens on its port until it was asked who it is, twice."""
    with Server() as server:

        def swap(number: int) -> None:
            if number == 7:
                server.go_away()
                server.fingerprint, server.another = "fp-2", 2
                server.come_back()

        server.before_chat = swap
        run = watched_work(tmp_path, plan_of(server))
        assert server.chats <= 6 * 3 + 7 + 1  # the last: the client itself asks again
    assert run.finished
    assert kept(tmp_path) == {f"t{n}": ["fp-1", "fp-1"] for n in range(6)}
    (change,) = changes(tmp_path).changes
    assert [key.task_id for key in change.attempts] == ["t0", "t1"]


def test_a_swap_that_only_the_canary_tells_is_found_on_the_timer(tmp_path: Path) -> None:
    with Server() as server:

        def swap(number: int) -> None:
            if number == 4:
                server.other = AT_ONCE + 2
                while server.other >= 0:
                    time.sleep(0.02)

        server.before_chat = swap
        run = watched_work(tmp_path, plan_of(server), every=0.05)
    assert run.finished
    (change,) = changes(tmp_path).changes
    assert "answer to a fixed greedy prompt" in change.what


def test_the_last_attempts_are_checked_at_the_end(tmp_path: Path) -> None:
    with Server() as server:

        def swap(number: int) -> None:
            if number == 18:  # the last call of the run; the canary is another from here on
                server.other = AT_ONCE + 2

        server.before_chat = swap
        run = watched_work(tmp_path, plan_of(server))
    assert run.finished
    assert len(changes(tmp_path).changes[0].attempts) == 6
    assert len(list(tmp_path.glob("bash/*/1.quarantined-1/record.json"))) == 6
    assert run.tally.graded == 6


def test_a_server_that_stays_another_ends_the_run_and_the_right_one_resumes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(same_server, "PATIENCE", 0.0)
    with Server() as server:

        def swap(number: int) -> None:
            server.fingerprint = "fp-2" if number >= 7 else "fp-1"

        server.before_chat = swap
        plan = plan_of(server)
        with pytest.raises(
            UserError, match=r'system_fingerprint was "fp-1", now it is "fp-2". Serve the same model'
        ):
            watched_work(tmp_path, plan)
        assert not list(tmp_path.glob("bash/*/1"))
        with pytest.raises(UserError, match="fp-1"):
            watched_work(tmp_path, plan)
        server.before_chat = lambda _number: setattr(server, "fingerprint", "fp-1")
        server.fingerprint = "fp-1"
        assert watched_work(tmp_path, plan).finished
    assert kept(tmp_path) == {f"t{n}": ["fp-1", "fp-1"] for n in range(6)}


def test_two_servers_behind_one_address_are_refused_at_the_start(tmp_path: Path) -> None:
    with Server() as server:
        asked = iter(range(100))

        def canary(_body: Body) -> Answer:
            server.fingerprint = f"fp-{next(asked) % 2}"
            return server.signed(say("Gulls."))

        server.canary = canary
        with pytest.raises(UserError, match=r"two servers answer at http://.*fake fp-.*same_server=false"):
            manifest_of(plan_of(server))
        assert manifest_of(plan_of(server, same_server=False)).server


def test_two_servers_behind_one_address_end_a_run_that_began_with_one(tmp_path: Path) -> None:
    with Server() as server:

        def alternate(number: int) -> None:
            server.fingerprint = f"fp-{1 + number % 2}"

        server.before_chat = alternate
        server.canary = lambda _body: replace(
            server.signed(say("Gulls.")),
            pieces=[
                b'{"choices":[{"message":{"content":"Gulls."},"finish_reason":"stop"}],"model":"fake","system_fingerprint":"fp-1"}'
            ],
        )
        with pytest.raises(UserError, match="two servers seem to share this address"):
            watched_work(tmp_path, plan_of(server))
        assert not list(tmp_path.glob("bash/*/1/record.json"))


def test_a_look_that_counted_what_another_server_made_is_withdrawn_and_taken_again(tmp_path: Path) -> None:
    """All attempts up to the look fail, so it stops the run; only the last canary tells that another model made them."""
    tasks = [make_task(f"t{n:02}") for n in range(24)]
    with Server() as server:

        def swap(number: int) -> None:
            if number == 1:
                server.other = AT_ONCE + 2

        server.before_chat = swap
        plan = plan_of(server, claim="toy", margin=25, looks=(20,))
        manifest = compose(
            plan, tasks, run_id="run", server=probe_server(plan), base_image=None, excluded={}, claim=CLAIM
        )
        manifest = begin_or_resume(tmp_path, manifest)
        interim, check = InterimAnalysis(tmp_path, manifest), make_server_check(plan, manifest)
        backend = PlainBackend(lambda: PlainSandbox(b"+solved" if server.other < 0 else b"+not"))
        hooks = {"look": interim.after, "withdraw": interim.withdraw, "same_server": check}
        run = work(tmp_path, plan, tasks, backend=backend, claim=CLAIM, **hooks)
    assert run.finished
    (bad,) = taken(tmp_path).withdrawn
    assert (bad.tasks, bad.decision) == (20, Decision.NOT_REPRODUCED)
    (good,) = taken(tmp_path).looks
    assert (good.tasks, good.decision) == (20, Decision.REPRODUCED)
    assert run.tally.resolved == run.tally.done >= 20
    again = len(list(tmp_path.glob("bash/*/1.quarantined-1")))
    assert 20 <= again < 24, "what the look had stopped was not begun"
    assert "a look after 20 tasks is withdrawn" in " ".join(summarise(tmp_path).findings)
    assert summarise(tmp_path).finished


CLAIM = Claim(
    id="toy/test",
    model="fake",
    maker="toy",
    benchmark="test",
    n_tasks=24,
    score="95.0",  # type: ignore[arg-type]
    claimed_by="toy",
    source=Source(title="toy"),
    status=Status.VERIFIED,
)


def test_greedy_answers_that_vary_are_no_canary(tmp_path: Path) -> None:
    with FakeServer(say("x")) as server:
        number = iter(range(100))
        server.canary = lambda _body: say(f"Gulls {next(number)}.")
        assert who_answers(ModelConfig(base_url=server.url, model="fake")) == {}


def test_a_server_that_takes_any_name_is_held_to_the_one_in_its_answers() -> None:
    with FakeServer(say("x"), get={"/v1/models": None}) as server:
        answer = say("Gulls.")
        assert answer.message
        whole = json.dumps({**answer.message, "model": "other-7b"}).encode()
        server.canary = lambda _body: Answer([whole])
        config = ModelConfig(base_url=server.url, model="fake")
        with pytest.raises(UserError, match="asked for 'fake', it answers as 'other-7b'"):
            probe_server(RunPlan(model=config))
        assert probe_server(RunPlan(model=config.model_copy(update={"model": "Other-7B"})))


def test_an_answer_that_never_ends_is_no_canary_and_no_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that ignores the cap and streams on, a token every few milliseconds."""
    from scaffolds.openai import canary
    from scaffolds.openai.config import Deadlines

    monkeypatch.setattr(canary, "DEADLINES", Deadlines(first_byte=5, silence=5, total=0.5))
    piece = b'data: {"choices":[{"delta":{"content":" sea"}}]}\n\n'
    with FakeServer(say("x")) as server:
        server.canary = lambda _body: Answer([piece] * 10_000, content_type="text/event-stream", pause=0.005)
        assert who_answers(ModelConfig(base_url=server.url, model="fake")) == {}


def test_what_a_kill_kept_from_being_set_aside_is_set_aside_by_the_next_session(tmp_path: Path) -> None:
    with Server() as server:
        watched_work(tmp_path, plan_of(server))
        keys = tuple(AttemptKey(scaffold="bash", task_id=f"t{n}", attempt=1) for n in (0, 3))
        half = Changes(changes=(Change(time="2026-01-01T00:00:00+00:00", what="x", attempts=keys),))
        (tmp_path / "quarantined.json").write_text(half.model_dump_json())
        again = watched_work(tmp_path, plan_of(server))
    assert again.finished
    assert sorted(p.parts[-2] for p in tmp_path.glob("bash/*/1.quarantined-1")) == ["t0", "t3"]
    assert changes(tmp_path).changes[0].moved


def test_a_grade_under_way_is_waited_for_before_its_attempt_is_moved(tmp_path: Path) -> None:
    grading, go_on = threading.Event(), threading.Event()

    def slow(task: Any, record: Record, directory: Path) -> Any:
        if task.id == "t0" and not go_on.is_set():
            grading.set()
            assert go_on.wait(20)
        return by_patch(task, record, directory)

    with Server() as server:

        def swap(number: int) -> None:
            if number == 5:
                server.become("fp-2", until=0.2)
                assert grading.wait(20)
                threading.Timer(0.3, go_on.set).start()

        server.before_chat = swap
        run = watched_work(tmp_path, plan_of(server), grade=slow)
    assert (run.tally.graded, run.tally.done, run.finished) == (6, 6, True)
    assert (tmp_path / "bash/t0/1.quarantined-1/grade.json").exists()
    assert (tmp_path / "bash/t0/1/grade.json").exists()
