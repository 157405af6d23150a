"""Servers that are set up wrong, each found by name, and healthy ones with nothing to find.

A model that is swapped behind a reconnect is no matter of one look: `test_same_server.py`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from evals.cli import main
from evals.report.empty_turns import PARTIES
from evals.serve.doctor import examine as examining
from evals.serve.doctor import patient
from evals.serve.doctor.examine import examine
from evals.serve.doctor.finding import PROBLEMS, Examination, Form, Growth, Level, hours
from evals.serve.doctor.speed import hit_share, levels_for
from scaffolds.openai.config import ModelConfig
from scaffolds.openai.dialects import TABLE, cure
from scaffolds.openai.probe import probe
from tests.fakes.faulty_answers import Fault, Planted
from tests.fakes.faulty_server import FaultyServer, Setup
from tests.fakes.openai_server import Answer, FakeServer, error
from tests.fakes.simulated_model import Said, scripted

SMALL = Setup(window=6000, slots=3, prefill=100_000)
THINKING = Setup(window=6000, slots=3, prefill=100_000, thinks=True)
PLANTED = [
    (Fault.WRONG_PARSER, "wrong-parser"),
    (Fault.CALL_AS_TEXT, "calls-as-text"),
    (Fault.SWALLOWED_CALL, "swallowed-call"),
    (Fault.THOUGHT_ONLY, "thought-only"),
    (Fault.TRUNCATION, "truncation"),
    (Fault.SMALL_WINDOW, "small-window"),
    (Fault.NO_CACHE, "no-cache"),
    (Fault.CAP_IGNORED, "cap-ignored"),
    (Fault.COMPLETION_CAP_IGNORED, "completion-cap-ignored"),
    (Fault.LYING_FINISH, "lying-finish"),
    (Fault.NO_USAGE, "usage-missing"),
    (Fault.REASONING_DROPPED, "reasoning-dropped"),
    (Fault.SHARED_POOL, "shared-window"),
    (Fault.EMPTY, "empty-answer"),
    (Fault.UNPARSED_THOUGHT, "thought-in-content"),
    (Fault.NO_STREAMED_CALLS, "streamed-calls-lost"),
    (Fault.RANDOM, "varies"),
]


def look(server: FaultyServer, form: Form = Form.FULL, **config: Any) -> Examination:
    asked = ModelConfig(base_url=server.url, model="fake", **config)
    return examine(asked, probe(asked), form)


def problems(examination: Examination) -> set[str]:
    return {finding.name for finding in examination.findings} & PROBLEMS.keys() - {"no-metrics"}


@pytest.mark.parametrize(("fault", "name"), PLANTED)
def test_a_planted_fault_is_found_by_name(fault: Fault, name: str) -> None:
    setup = THINKING if fault in (Fault.REASONING_DROPPED, Fault.SWALLOWED_CALL) else SMALL
    with FaultyServer(fault, setup=setup) as server:
        examination = look(server)
    found = next((finding for finding in examination.findings if finding.name == name), None)
    assert found, examination.findings
    assert found.level is PROBLEMS[name].level
    assert found.effect
    assert found.cure


@pytest.mark.parametrize("setup", [SMALL, THINKING])
def test_a_healthy_server_has_nothing_to_find(setup: Setup) -> None:
    with FaultyServer(setup=setup) as server:
        examination = look(server)
    assert problems(examination) == set()
    assert examination.worst is Level.OK
    measured = examination.measured
    assert measured.hit_share
    assert measured.hit_share > 0.9
    assert measured.best
    assert measured.prefill
    assert Examination.model_validate_json(examination.model_dump_json()) == examination


def test_a_cache_that_is_not_counted_is_judged_by_the_time_to_the_first_token() -> None:
    shares = []
    for faults in ((), (Fault.NO_CACHE,)):
        with FaultyServer(*faults, setup=Setup(window=6000, prefill=20_000, says_cached=False)) as server:
            measured = look(server).measured
        shares.append(measured.hit_share)
        assert measured.cold_first_token
    healthy, broken = shares
    assert (healthy or 0) > 0.5 > (broken or 0)


def test_an_unknown_model_that_is_accepted_in_silence_is_told_by_the_name_in_the_answers() -> None:
    """A server without a list takes any name."""
    with FaultyServer(setup=SMALL) as server:
        server.get["/v1/models"] = {"object": "list", "data": []}
        asked = ModelConfig(base_url=server.url, model="other-70b")
        examination = examine(asked, probe(asked), Form.FULL)
    assert problems(examination) == {"other-name"}
    (found,) = [finding for finding in examination.findings if finding.name == "other-name"]
    assert "asked for 'other-70b', 'fake' answers" in found.what


def test_two_servers_behind_one_address_are_told_by_how_answers_are_signed() -> None:
    with FaultyServer(Planted(Fault.OTHER_MODEL, times=4), setup=SMALL) as server:
        examination = look(server)
    assert "two-servers" in problems(examination)
    (found,) = [finding for finding in examination.findings if finding.name == "two-servers"]
    assert found.level is Level.BLOCKER
    assert "fake fp-1 and fake-other fp-1-other" in found.what


def test_a_cap_that_the_answer_did_not_reach_is_not_called_kept() -> None:
    """As a small model does that says a few words and ends."""
    with FaultyServer(brain=scripted(Said("One, two.")), setup=SMALL) as server:
        examination = look(server, Form.SHORT)
    (found,) = [finding for finding in examination.findings if finding.name == "cap"]
    assert found.what == "not tried: the answer ended by itself after 3 tokens, before max_tokens 16"


def test_what_the_answer_itself_left_in_the_cache_is_no_more_than_all() -> None:
    turns = [Growth(prompt=p, cached=c, first_token=1) for p, c in ((414, 17), (549, 429), (658, 550))]
    assert hit_share(tuple(turns), None) == 1.0


def test_the_short_form_asks_two_things() -> None:
    with FaultyServer(Fault.SWALLOWED_CALL, setup=SMALL) as server:
        examination = look(server, Form.SHORT)
        assert len(server.requests) == 2
    assert problems(examination) == {"swallowed-call"}


def test_a_slow_server_is_left_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads 40 tokens a second: no question may take the rest of the night."""
    monkeypatch.setitem(patient.SECONDS, Form.FULL, 3.0)
    with FaultyServer(setup=Setup(window=6000, prefill=40)) as server:
        examination = look(server)
    assert examination.seconds < 15
    assert {"not-looked-at", "no-answer"} & {finding.name for finding in examination.findings}


@pytest.mark.parametrize(("faults", "name"), [((), "window-taken"), ((Fault.SMALL_WINDOW,), "small-window")])
def test_a_window_that_there_is_no_time_to_fill_is_tried_by_hanging_up(
    faults: tuple[Fault, ...], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(patient.SECONDS, Form.FULL, 5.0)
    with FaultyServer(*faults, setup=Setup(window=6000, prefill=400)) as server:
        examination = look(server)
    (found,) = [one for one in examination.findings if one.name in ("window-taken", "small-window")]
    assert found.name == name
    assert "5,400" in found.what


@pytest.mark.parametrize(("slots", "levels"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (16, [1, 2, 4, 8, 16])])
def test_no_more_at_once_are_tried_than_the_server_works_on(slots: int, levels: list[int]) -> None:
    assert levels_for(slots) == levels


def test_hours_are_those_of_the_known_cases() -> None:
    """Prefill 6,000 and 700 tokens a second of output, 100 tasks: 1.5 h with a good cache, 8.1 h without one."""
    known = {"tasks": 100, "prefill": 6000, "decode": 700}
    assert hours(**known, hit_share=0.95) == pytest.approx(1.5, abs=0.1)
    assert hours(**known, hit_share=0) == pytest.approx(8.1, abs=0.1)


def test_every_problem_has_a_cure_on_every_server() -> None:
    seen_in_runs = {problem for _, _, problem in PARTIES.values()}
    assert all(cure(problem, dialect.name) for problem in {*PROBLEMS, *seen_in_runs} for dialect in TABLE)
    assert {name for dialect in TABLE for name in dialect.cures} <= PROBLEMS.keys() | seen_in_runs


def doctor(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["asclaimed", "doctor", *words])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_the_command_says_it_to_scripts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with FaultyServer(setup=SMALL) as server:
        assert doctor(monkeypatch, "--base-url", server.url, "--json") == 0
        said = json.loads(capsys.readouterr().out)
        server.restart(Fault.WRONG_PARSER)
        assert doctor(monkeypatch, "--base-url", server.url, "--model", "fake") == 1
    assert said["server"]["window"] == SMALL.window
    assert {finding["level"] for finding in said["findings"]} == {"ok"}
    assert "Cure: --jinja" in " ".join(capsys.readouterr().out.split())


PAGE = error(404, "<html>Not Found</html>")


def mute(*script: Answer, **options: Any) -> FakeServer:
    """A server that the doctor meets as everybody does."""
    server = FakeServer(*script, **options)
    server.check = None
    return server


@pytest.mark.parametrize(
    ("server", "words", "said"),
    [
        (lambda: FaultyServer(Fault.WEB_PAGE), (), "web page"),
        (lambda: FaultyServer(Fault.NOT_JSON), (), "does not chat"),
        (lambda: FaultyServer(Fault.REFUSED_KEY), (), "--api-key-env"),
        (lambda: FaultyServer(Fault.ENDLESS), (), "did not end an answer"),
        (lambda: FaultyServer(), ("--model", "other"), "it has: fake"),
        (lambda: mute(PAGE, get={"/v1/models": PAGE}), (), "name the model with --model"),
        (lambda: mute(PAGE, get={"/v1/models": PAGE}), ("--model", "fake"), "does not chat"),
        (lambda: mute(PAGE, models=("a", "b")), (), "the server has: a, b"),
    ],
)
def test_what_is_no_chat_server_is_one_line(
    server: Callable[[], FakeServer],
    words: tuple[str, ...],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(examining, "HELLO_SECONDS", 0.5)
    with server() as there:
        assert doctor(monkeypatch, "--base-url", there.url, *words) == 2
    assert said in capsys.readouterr().err


def test_no_server_and_no_tls_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with FaultyServer() as server:
        assert (
            doctor(monkeypatch, "--base-url", server.url.replace("http:", "https:"), "--model", "fake") == 2
        )
        assert "write http://" in capsys.readouterr().err
    assert doctor(monkeypatch, "--base-url", server.url, "--model", "fake") == 2
    assert "no model server answers" in capsys.readouterr().err
    assert doctor(monkeypatch, "--base-url", "nonsense") == 2
    assert doctor(monkeypatch, "--thorough") == 2
