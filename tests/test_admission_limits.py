"""How many attempts, to the token: what a conversation counts for, when one more fits, who wakes up, what is sampled."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from evals.record import AttemptKey
from evals.run import admission as admissions
from evals.run import load as loads
from evals.run.admission import Admission, most_at_once
from evals.run.load import FILE, Load, samples
from scaffolds.base import Metrics, Step
from tests.fakes.plain_context import plain_context
from tests.test_admission import filled, keys, step

PATIENCE = 20.0


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def one_more_begins(admission: Admission, tokens: int) -> bool:
    """Where nine tenths of the server's cache hold so many tokens, and a half."""
    admission.heard({"kv tokens": (tokens + 0.5) / 0.9})
    (late,) = keys(101)[100:]
    if begun := admission.take([late]):
        admission.ended(begun)
    return begun is not None


def needs(admission: Admission, tokens: int) -> bool:
    """Whether this is the least with which one more begins."""
    found = one_more_begins(admission, tokens) and not one_more_begins(admission, tokens - 1)
    admission.heard({})
    return found


def test_a_conversation_counts_for_what_was_read_and_written() -> None:
    admission = Admission(64, first=64)
    first, second = keys(2)
    assert one_more_begins(admission, 0), "one always may"
    assert admission.take([first])
    assert needs(admission, 4000 + 4000), "nothing is known of either"
    admission.stepped(first, step(1000, 500))
    assert needs(admission, 1500 + 1000), "as long at first as the first one was"
    assert admission.take([second])
    assert needs(admission, 1500 + 1000 + 1000)
    admission.stepped(second, step(2000, 0))
    assert needs(admission, 1500 + 2000 + 1500), "their mean"


def test_what_a_new_one_begins_with_is_the_mean_of_the_last_twenty() -> None:
    admission = Admission(64, first=64)
    for key, prompt in zip(keys(21), [100_000, *[1000] * 20], strict=True):
        assert admission.take([key])
        admission.stepped(key, step(prompt, 0))
    assert needs(admission, 100_000 + 20 * 1000 + 1000)


def test_conversations_that_just_fit_go_on() -> None:
    admission = Admission(64, first=64)
    first, second = filled(admission, 2, 1500)
    for tokens, fits in ((3000, True), (2999, False)):
        admission.heard({"kv tokens": (tokens + 0.5) / 0.9})
        assert (admission.has_room(first), admission.has_room(second)) == (True, fits)


@pytest.mark.parametrize(
    ("told", "begins"), [({"kv share": 0.89}, True), ({"kv share": 0.9}, False), ({"kv share": 1.0}, False), ({}, True)]
)  # fmt: skip
def test_a_server_that_only_says_how_full_it_is_gets_no_more_from_nine_tenths_on(
    told: Mapping[str, float], begins: bool
) -> None:
    admission = Admission(64, first=64)
    first, second, _third = keys(3)
    admission.heard({"kv share": 1.0})
    assert admission.take([first]), "where there is none, one begins"
    admission.heard(told)
    assert bool(admission.take([second])) is begins


def test_a_fixed_number_is_made_whatever_the_server_says() -> None:
    admission = Admission(2)
    admission.heard({"kv tokens": 1, "kv share": 1.0, "preemptions": 1})
    admission.heard({"preemptions": 2})
    first, second, third = keys(3)
    assert admission.take([first, second, third]) == first
    admission.stepped(first, step(1000))
    assert admission.take([second, third]) == second
    assert admission.take([third]) is None
    assert (admission.level, admission.going) == (2, 2)
    assert all(map(admission.has_room, (first, second)))
    assert Admission().level == float("inf")


def test_a_page_that_says_no_more_of_preemptions_reports_none() -> None:
    admission = Admission(64, first=8)
    filled(admission, 8, 1000)
    for told in ({"preemptions": 0}, {}, {"preemptions": 0}):
        admission.heard(told)
        assert admission.level == 8
    admission.heard({"preemptions": 1})
    assert admission.level == 6


@pytest.mark.parametrize(("cores", "most"), [(None, 8), (1, 8), (2, 16), (8, 64), (100, 64)])
def test_this_machine_has_eight_for_each_core_and_no_more_than_64(
    cores: int | None, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert most_at_once() == most


def answer(prompt: int, cached: int | None, first_byte: float, written: int = 100) -> Step:
    metrics = Metrics(prompt_tokens=prompt, completion_tokens=written, cached_tokens=cached)
    return Step(source="agent", message="", metrics=metrics, first_byte=first_byte)


@pytest.mark.parametrize(("cached", "streams"), [(None, True), (500, True), (500, False)])
def test_a_first_token_is_late_by_what_was_to_be_read_and_256_tokens_more(
    cached: int | None, streams: bool
) -> None:
    """One second for 744 and 256 is a thousandth each; twice that for none and 256 are 0.512 seconds."""
    now = [0.0]
    admission = Admission(8, first=8, streams=streams, clock=lambda: now[0])
    begun = filled(admission, 8, 1000)

    def levels_after(to_read: int, first_byte: float) -> set[float]:
        levels = set()
        for _, key in zip(range(400), itertools.cycle(begun), strict=False):
            if admission.has_room(key):
                now[0] += 1 / admission.level
                admission.stepped(key, answer(to_read + (cached or 0), cached, first_byte))
                levels.add(admission.level)
        return levels

    assert 6 not in levels_after(744, 1.0)
    assert 6 not in levels_after(0, 0.511)
    assert (6 in levels_after(0, 0.5123)) is streams


@pytest.mark.parametrize(("few", "many"), [((0, 0.12), (1, 0.1)), ((10, 0.1), (30, 0.2))])
def test_levels_are_compared_by_tokens_and_an_answer_without_a_count_is_one(
    few: tuple[int, float], many: tuple[int, float]
) -> None:
    """Tokens of each answer, and seconds between two, at four and at eight: a fifth more is worth it, and half as much."""
    now = [0.0]
    admission = Admission(8, first=4, clock=lambda: now[0])
    begun = filled(admission, 4, 1000)

    def calls(number: int, written: int, seconds: float) -> float:
        for _, key in zip(range(number), itertools.cycle(begun), strict=False):
            now[0] += seconds
            admission.stepped(key, answer(1000, None, 0.1, written))
        return admission.level

    assert calls(15, *few) == 8, "with the one that ended when all four were under way, a window"
    begun += [key for key in keys(8)[4:] if admission.take([key])]
    assert calls(24, *many) == 5, "eight is kept, and two thirds of it are tried"


@pytest.mark.parametrize("of_load", [False, True])
def test_a_disturbance_begins_the_measurement_anew(of_load: bool, tmp_path: Path) -> None:
    now = [0.0]
    admission = Admission(8, first=4, clock=lambda: now[0])
    begun = filled(admission, 4, 1000)

    def calls(number: int, among: list[AttemptKey]) -> float:
        for _, key in zip(range(number), itertools.cycle(among), strict=False):
            now[0] += 0.1
            admission.stepped(key, step(1000))
        return admission.level

    assert calls(8, begun) == 4
    (Load(plain_context(tmp_path), admission) if of_load else admission).disturbed()
    assert calls(15, begun) == 4
    assert calls(1, begun) == 8


def test_with_one_too_few_nothing_is_learned() -> None:
    admission = Admission(8, first=4)
    begun = filled(admission, 3, 1000)
    for _, key in zip(range(100), itertools.cycle(begun), strict=False):
        admission.stepped(key, step(1000))
    assert admission.level == 4


@pytest.mark.parametrize("why", ["another ended", "the cache is larger"])
def test_who_waits_between_two_steps_sleeps_and_goes_on_at_once(
    why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admissions, "LOOK_SECONDS", 60.0)
    admission = Admission(64, first=64)
    first, second = filled(admission, 2, 4000)
    admission.stepped(first, step(5900))
    admission.heard({"kv tokens": 10_000})
    asked: list[int] = []

    def ends() -> bool:
        asked.append(0)
        return False

    waiting = threading.Thread(target=admission.pause, args=(second, ends), daemon=True)
    waiting.start()
    until(lambda: admission.paused == 1)
    time.sleep(0.05)
    if why == "another ended":
        admission.ended(first)
    else:
        admission.heard({"kv tokens": 20_000})
    waiting.join(PATIENCE)
    assert not waiting.is_alive()
    assert len(asked) < 5


@pytest.mark.parametrize("why", ["another ended", "more are worth it"])
def test_who_waits_for_its_beginning_sleeps_and_begins_at_once(
    why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admissions, "LOOK_SECONDS", 60.0)
    now = [0.0]
    admission = Admission(8, first=4, clock=lambda: now[0])
    begun = filled(admission, 4, 1000)
    asked: list[int] = []

    def begin() -> None:
        while not admission.take(keys(5)[4:]):
            asked.append(0)
            admission.wait()

    waiting = threading.Thread(target=begin, daemon=True)
    waiting.start()
    until(lambda: bool(asked))
    time.sleep(0.05)
    assert len(asked) == 1
    if why == "another ended":
        admission.ended(begun[0])
        waiting.join(PATIENCE)
    for _, key in zip(range(15), itertools.cycle(begun), strict=False):
        now[0] += 0.1
        admission.stepped(key, step(1000))
    waiting.join(PATIENCE)
    assert not waiting.is_alive()


def test_a_sample_a_minute_holds_what_happened_since_the_last(tmp_path: Path) -> None:
    now = [100.0]
    admission = Admission(4)
    key, other = keys(2)
    load = Load(plain_context(tmp_path), admission, clock=lambda: now[0])
    assert [admission.take([one]) for one in (key, other)] == [key, other]
    for seconds, one in (
        (0.0, answer(1000, None, 0.1, 10)),
        (59.9, Step(source="user", message="no call")),
        (59.9, answer(2000, None, 0.3, 20)),
    ):
        now[0] = 100.0 + seconds
        load.stepped(key, one)
    assert samples(tmp_path) == []
    now[0] = 160.0
    load.stepped(key, answer(3000, None, 0.12345, 30))
    (first,) = samples(tmp_path)
    assert (first.seconds, first.calls, first.read, first.written, first.cached) == (60.0, 3, 6000, 60, None)
    assert (first.first_byte, first.at_once, first.paused, first.time.microsecond) == (0.123, 2, 0, 0)
    assert "null" not in (tmp_path / FILE).read_text(), "what is not known is not said"
    for cached in (3, None, 4):
        load.stepped(key, answer(5, cached, 0.1, 6))
    load.ended(other)
    now[0] = 219.96
    load.sample()
    (_first, second) = samples(tmp_path)
    assert (second.seconds, second.calls, second.read, second.written) == (60.0, 3, 15, 18)
    assert (second.cached, second.at_once) == (7, 1)
    load.sample()
    assert len(samples(tmp_path)) == 2, "where nothing happened there is nothing to say"


def test_a_step_after_which_an_attempt_goes_on_waits_for_room(tmp_path: Path) -> None:
    admission = Admission(64, first=64)
    context = plain_context(tmp_path)
    load = Load(context, admission)
    (only,) = filled(admission, 1, 500)
    load.stepped(only, answer(1000, None, 0.1, 500))
    assert needs(admission, 1500 + 400), "the first call of one was of 400 tokens"
    load.ended(only)
    first, second = filled(admission, 2, 4000)
    admission.heard({"kv tokens": 5000})
    load.stepped(second, answer(4000, None, 0.1))
    assert admission.paused == 0, "it did not act: that was its last step"
    waiting = threading.Thread(target=load.stepped, args=(second, step(4000)), daemon=True)
    waiting.start()
    until(lambda: admission.paused == 1)
    load.ended(first)
    waiting.join(PATIENCE)
    assert not waiting.is_alive()


def test_the_servers_counters_are_asked_until_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loads, "LISTEN_EVERY", 0.05)
    admission, asked = Admission(64, first=64), list[threading.Thread]()
    (key,) = filled(admission, 1, 1000)

    def counters() -> dict[str, Any]:
        asked.append(threading.current_thread())
        return {"kv share": 1.0, "waiting": 3.0}

    load = Load(plain_context(tmp_path), admission, counters)
    began = time.monotonic()
    with load.listening():
        until(lambda: len(asked) > 2)
        assert admission.take(keys(2)[1:]) is None
    assert len(asked) < 3 + (time.monotonic() - began) / 0.05
    assert asked[0].daemon, "an answer that never comes keeps no process alive"
    asked[0].join(PATIENCE)
    assert not asked[0].is_alive()
    load.stepped(key, answer(1, None, 0.1))
    load.sample()
    assert [(one.waiting, one.kv_share) for one in samples(tmp_path)] == [(3.0, 1.0)]
    with Load(plain_context(tmp_path), admission).listening():
        pass  # nobody to ask
