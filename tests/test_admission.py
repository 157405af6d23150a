"""How many attempts at once: near the best of a server that is slower with more, within its KV cache, old ones first."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from evals.commands.server import make_admission, make_counters, probe_server
from evals.record import AttemptKey, Outcome
from evals.report.load import row, spans
from evals.report.page import to_html
from evals.report.summary import read_report
from evals.report.tables import to_markdown
from evals.run.admission import AT_FIRST, Admission
from evals.run.climber import Climber
from evals.run.load import LoadSample, samples
from evals.run.manifest import Manifest, compose
from evals.run.plan import RunPlan, load_plan
from scaffolds.base import Metrics, Step
from scaffolds.openai.dialects import SGLANG, VLLM
from scaffolds.openai.metrics import counters
from tests.fakes.faulty_server import FaultyServer, Setup, llama_pages
from tests.fakes.openai_server import Answer
from tests.fakes.simulated_model import bash, scripted
from tests.runs_on_disk import write_run
from tests.served_run import make_task, plan_for, work

CURVE = {1: 60, 5: 276, 7: 389, 10: 386, 15: 324, 20: 152, 64: 60}
"""Tokens a second by requests under way: 8×H200, an agentic load (aarora79, PR 178); its ends are ours."""
STEPS = 20


@cache
def curve(under_way: int) -> float:
    return float(np.interp(under_way, list(CURVE), list(CURVE.values())))


def keys(number: int) -> list[AttemptKey]:
    return [AttemptKey(scaffold="bash", task_id=f"t{n}", attempt=1) for n in range(number)]


def step(prompt: int, written: int = 100, *, cached: int = 0, first_byte: float = 0.1) -> Step:
    metrics = Metrics(prompt_tokens=prompt, completion_tokens=written, cached_tokens=cached)
    return Step(source="agent", message="", metrics=metrics, first_byte=first_byte, observations=("x",))


class Simulated:
    """A run in simulated time: attempts call a server that shares its speed among those under way, and use their sandbox."""

    def __init__(self, admission: Callable[[Callable[[], float]], Admission], *, seed: int, attempts: int):
        self.now, self.written = 0.0, 0
        self.rng, self.speed = random.Random(seed), curve
        self.admission = admission(lambda: self.now)
        self.todo, self.calls = keys(attempts), dict[AttemptKey, list[float]]()
        self.sandboxes: list[tuple[float, int, AttemptKey]] = []
        self.paused, self.steps = list[AttemptKey](), dict[AttemptKey, int]()
        self.levels = list[tuple[float, float]]()
        self.order = itertools.count()

    def run(self) -> float:
        """Tokens a second of it all."""
        while self.begin() or self.calls or self.sandboxes:
            each = self.speed(len(self.calls)) / max(len(self.calls), 1)
            first = min(self.calls, key=lambda key: self.calls[key][0], default=None)
            ends = self.now + self.calls[first][0] / each if first else float("inf")
            if self.sandboxes and self.sandboxes[0][0] < ends:
                self.go_to(self.sandboxes[0][0], each)
                self.paused.append(heapq.heappop(self.sandboxes)[2])
            else:
                assert first, "somebody may always go on"
                self.go_to(ends, each)
                self.answered(first)
        return self.written / self.now

    def begin(self) -> bool:
        for key in [key for key in self.paused if self.admission.has_room(key)]:
            self.paused.remove(key)
            self.call(key)
        while self.todo and self.admission.take(self.todo[:1]):
            self.call(self.todo.pop(0))
        return False

    def call(self, key: AttemptKey) -> None:
        size = self.rng.randint(50, 600)
        self.calls[key] = [size, size]

    def go_to(self, when: float, each: float) -> None:
        for left in self.calls.values():
            left[0] -= each * (when - self.now)
        self.now = when

    def answered(self, key: AttemptKey) -> None:
        size, number = int(self.calls[key][1]), self.steps.setdefault(key, 0) + 1
        waited = 0.1 * len(self.calls)
        del self.calls[key]
        self.steps[key], self.written = number, self.written + size
        self.admission.stepped(key, step(700 * number, size, cached=700 * number - 500, first_byte=waited))
        self.levels.append((self.now, self.admission.level))
        if number == STEPS:
            self.admission.ended(key)
        else:
            heapq.heappush(self.sandboxes, (self.now + self.rng.uniform(0.2, 1.0), next(self.order), key))


def fixed(number: int) -> float:
    return Simulated(lambda clock: Admission(number, clock=clock), seed=0, attempts=30).run()


@pytest.mark.parametrize("seed", range(2))
def test_a_server_that_is_slower_with_more_is_used_within_a_tenth_of_its_best(seed: int) -> None:
    """Without metrics, from measured tokens a second; the whole run, its search included."""
    best = max(fixed(number) for number in (8, 10))
    searching = Simulated(lambda clock: Admission(64, first=AT_FIRST, clock=clock), seed=seed, attempts=150)
    assert searching.run() > 0.9 * best
    late = [level for when, level in searching.levels if when > searching.now / 2]
    assert np.mean([curve(int(level)) for level in late]) > 0.9 * max(CURVE.values())
    assert fixed(20) < 0.6 * best, "which is why it is looked for"


def test_when_more_brings_more_the_number_rises_to_what_this_machine_may_have() -> None:
    searching = Simulated(lambda clock: Admission(16, first=4, clock=clock), seed=0, attempts=100)
    searching.speed = lambda under_way: 50.0 * under_way
    searching.run()
    assert searching.levels[len(searching.levels) // 2][1] == 16


def filled(admission: Admission, number: int, context: int) -> list[AttemptKey]:
    """So many attempts under way, each after a first call."""
    begun = keys(number)
    for key in begun:
        assert admission.take([key])
        admission.stepped(key, step(context - 100))
    return begun


def test_live_conversations_stay_within_the_cache_and_the_youngest_wait() -> None:
    admission = Admission(64, first=64)
    admission.heard({"kv tokens": 100_000})
    first, second, third = filled(admission, 3, 25_000)
    (late,) = keys(4)[3:]
    assert not admission.take([late]), "three of 25,000 and a fourth are more than 90,000"
    admission.stepped(first, step(49_900))
    assert [admission.has_room(key) for key in (first, second, third)] == [True, True, False]
    admission.stepped(first, step(99_900))
    assert [admission.has_room(key) for key in (first, second, third)] == [True, False, False], (
        "one always may"
    )
    waiting: list[int] = []

    def ends() -> bool:
        waiting.append(admission.paused)
        return len(waiting) == 2

    admission.pause(third, ends)
    assert (waiting, admission.paused) == ([0, 1], 0)
    admission.ended(first)
    assert [admission.has_room(key) for key in (second, third)] == [True, True]
    assert admission.take([late])
    admission.stepped(late, step(19_900))
    assert not admission.take(keys(5)[-1:]), "they begin with 21,000 on average"


def test_the_first_preemption_calls_for_fewer_once() -> None:
    admission = Admission(64, first=8)
    begun = filled(admission, 8, 1000)
    admission.heard({"preemptions": 3.0})
    assert admission.level == 8, "those before us say nothing"
    admission.heard({"preemptions": 4.0})
    assert admission.level == 6
    admission.heard({"preemptions": 5.0})
    assert admission.level == 6, "eight are still under way"
    assert not any(admission.has_room(key) for key in begun[6:])
    assert all(admission.has_room(key) for key in begun[:6])


def test_a_first_token_that_takes_twice_as_long_calls_for_fewer() -> None:
    """Without a drop in tokens a second that the search would see, and whatever is to be read."""
    now = [0.0]
    admission = Admission(8, first=8, clock=lambda: now[0])
    begun = filled(admission, 8, 1000)

    def levels_after(first_byte: float, to_read: int) -> set[float]:
        """Tokens a second grow with the number at once."""
        levels = set()
        for _, key in zip(range(400), itertools.cycle(begun), strict=False):
            if admission.has_room(key):
                now[0] += 1 / admission.level
                admission.stepped(key, step(to_read, first_byte=first_byte))
                levels.add(admission.level)
        return levels

    assert 6 not in levels_after(1.0, 1000)
    assert 6 not in levels_after(3.0, 4000), "four times as much to read"
    assert 6 in levels_after(9.0, 4000)


VLLM_PAGE = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
vllm:num_requests_running{engine="0",model_name="m"} 7.0
vllm:num_requests_running{engine="1",model_name="m"} 2.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.92
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.5
vllm:num_preemptions_total{engine="0",model_name="m"} 3.0
vllm:num_preemptions_created{engine="0",model_name="m"} 1.7e+09
vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="661"} 1.0
vllm:num_requests_waiting{engine="0"} NaN
"""


def test_counters_are_read_by_each_servers_own_names() -> None:
    read = partial(counters, names=VLLM.metrics)
    assert read(VLLM_PAGE) == {"running": 9, "kv share": 0.92, "preemptions": 3, "kv tokens": 16 * 661}
    newer = VLLM_PAGE.replace('block_size="16"', 'block_size="528",kv_cache_size_tokens="9000"')
    assert read(newer)["kv tokens"] == 9000, "blocks of a hybrid model are not tokens"
    assert counters('sglang:max_total_num_tokens{tp_rank="0"} 471258\n', SGLANG.metrics) == {
        "kv tokens": 471258
    }
    assert read("<html>\n\x1b[2J" + "vllm:num_requests_running" * 9) == {}


def manifest_of(plan: RunPlan) -> Manifest:
    return compose(
        plan, [make_task("t")], run_id="r", server=probe_server(plan), base_image=None, excluded={}
    )


def vllm_pages(metrics: Callable[[], str]) -> dict[str, Any]:
    pages = llama_pages(Setup())
    del pages["/props"]
    return pages | {
        "/version": {"version": "0.26.0"},
        "/metrics": lambda: Answer([metrics().encode()], content_type="text/plain"),
    }


TURNS = 12
AGENT = scripted(*(bash(f"true {n}") for n in range(TURNS)), bash("submit"))
TASKS = [f"task-{n:02}" for n in range(10)]


class Asked(NamedTuple):
    """A request, as the server saw it."""

    before: int
    """Attempts that began before its own and have not ended."""
    tokens: int
    """Of their conversations and this one."""


def test_a_run_that_is_told_the_size_of_the_cache_never_asks_for_more(tmp_path: Path) -> None:
    """Real requests: whoever asks fits beside those that began before; conversations grow to twice their size meanwhile."""
    live: dict[str, int] = {}
    seen: list[Asked] = []
    capacity = 1_500

    def page() -> str:
        return f'vllm:cache_config_info{{kv_cache_size_tokens="{capacity}"}} 1\n'

    def talk(asked: Any) -> Any:
        task = next(name for name in TASKS if f"of {name}." in asked.text)
        live[task] = len(asked.text) // 4
        older = [name for name in live if name < task]
        seen.append(Asked(len(older), sum(live[name] for name in [*older, task])))
        if asked.turn > TURNS:
            del live[task]
        return AGENT(asked)

    server = FaultyServer(brain=talk, setup=Setup(slots=64), pages=vllm_pages(page))
    with server:
        plan = plan_for(server.url)
        manifest = manifest_of(plan)
        assert (manifest.server or {})["dialect"] == "vllm"
        ask = make_counters(plan, manifest)
        assert ask
        admission = make_admission(plan, manifest)
        admission.heard(ask())
        run = work(
            tmp_path / "run",
            plan,
            [make_task(n) for n in TASKS],
            workers=8,
            admission=admission,
            counters=ask,
        )
    assert run.finished
    assert max(asked.tokens for asked in seen) <= capacity
    assert max(asked.before for asked in seen) > 1
    (sample,) = samples(tmp_path / "run")
    assert (sample.calls, sample.paused) == (len(seen), 0)
    assert sample.written > 0


def test_the_report_tells_what_the_server_gave_over_time(tmp_path: Path) -> None:
    sample = LoadSample(
        time=datetime(2026, 11, 26, 2, tzinfo=UTC),
        seconds=60,
        at_once=4,
        paused=1,
        calls=9,
        read=6000,
        cached=4500,
        written=600,
        first_byte=0.5,
        waiting=2,
    )
    later = sample.model_copy(update={"cached": None, "written": 1200, "waiting": None})
    lines = [one.model_dump_json() for one in (sample, later)]
    (tmp_path / "load.jsonl").write_text(f"\n{lines[0]}\n{lines[1][:40]}\n{lines[1]}")
    assert samples(tmp_path) == [sample, later], "what a kill cut off is passed over"
    assert row(spans([sample, later], most=1)[0]) == (
        *("11-26 02:00", "4", "1", "15.0"),
        *("100", "75", "0.50", "2"),
    )
    assert len(spans([sample] * 100)) == 12
    run = write_run(tmp_path / "run", lambda _key: Outcome.RESOLVED)
    (run / "ledger.jsonl").touch()
    (run / "load.jsonl").write_text(f"\n{lines[0]}")
    report = read_report(run)
    assert "| 11-26 02:00 | 4 | 1 | 10.0 | 100 | 75 | 0.50 | 2 |" in to_markdown(report.summary)
    assert "What the server gave" in to_html(report)


@pytest.mark.parametrize(
    ("given", "slots", "expected"),
    [({"workers": 3}, 2, (3, 3)), ({}, 2, (2, 2)), ({"workers": "auto"}, None, (None, 4))],
)
def test_auto_is_the_default_and_begins_with_the_servers_slots_or_four(
    given: Mapping[str, Any], slots: int | None, expected: tuple[int | None, int]
) -> None:
    plan = plan_for("http://127.0.0.1:1/v1", **given)
    manifest = compose(
        plan, [make_task("t")], run_id="r", server={"slots": slots}, base_image=None, excluded={}
    )
    admission = make_admission(plan, manifest)
    assert admission.level == expected[1]
    assert expected[0] in (None, admission.most)
    assert load_plan(None, {}).workers == "auto"


@pytest.mark.parametrize(
    ("rates", "levels"),
    [
        ({4: 100, 8: 110}, [4, 8, 4, 3, 4, 6, 4]),  # twice as many are worth it for 15 % more, no less
        ({4: 100, 8: 120, 16: 130}, [4, 8, 16, 8, 5, 8, 12, 8]),  # afterwards by half as many
        ({4: 100, 8: 90, 3: 99}, [4, 8, 4, 3, 2, 3, 4]),  # fewer are as good within 2 %
    ],
)
def test_levels_are_tried_in_turn_and_kept_for_what_they_bring(
    rates: dict[int, float], levels: list[int]
) -> None:
    """Tokens a second at each level, 90 where nothing is said."""
    climber, now, seen = Climber(4, 64), 0.0, [4]
    for _ in range(2000):
        now += 10 / rates.get(climber.level, 90)
        climber.ended(now, 10, None)
        seen += [climber.level] if climber.level != seen[-1] else []
    assert seen[: len(levels)] == levels


def test_an_attempt_that_waits_puts_no_load_on_the_server() -> None:
    """The server has too much at once with seven under way, though eight began."""
    admission = Admission(64, first=8)
    begun = filled(admission, 8, 1_000)
    for key in begun:
        admission.stepped(key, step(12_000))
    admission.heard({"kv tokens": 100_000, "preemptions": 3})
    going: list[int] = []

    def ends() -> bool:
        going.append(admission.going)
        if len(going) == 2:
            admission.heard({"kv tokens": 100_000, "preemptions": 4})
        return len(going) == 2

    admission.pause(begun[-1], ends)
    assert going == [8, 7]
    assert admission.level == 5, "three quarters of seven"


def test_while_fewer_are_under_way_nothing_is_learned() -> None:
    """Minutes with one attempt, between calls of four, are no part of what four bring."""
    now = [0.0]
    admission = Admission(8, first=4, clock=lambda: now[0])
    first, *others = filled(admission, 4, 1_000)

    def calls(number: int, among: list[AttemptKey]) -> float:
        for _, key in zip(range(number), itertools.cycle(among), strict=False):
            now[0] += 0.1
            admission.stepped(key, step(1_000))
        return admission.level

    assert calls(8, [first, *others]) == 4
    for key in others:
        admission.ended(key)
    assert calls(100, [first]) == 4
    late = keys(7)[4:]
    assert all(admission.take([key]) for key in late)
    assert calls(15, [first, *late]) == 4, "sixteen calls are a window, and those before do not count"
    assert calls(1, [first]) == 8


def levels_of(climber: Climber, measured: Callable[[int, int], tuple[float, float]]) -> list[tuple[int, int]]:
    """Each level that was stayed at, with how many calls ended there; `measured`: tokens a second and time to the first
    token by level and number of the stay."""
    stays, now = [(climber.level, 0)], 0.0
    for _ in range(1500):
        level, calls = stays[-1]
        rate, slowness = measured(level, len(stays))
        now += 10 / rate
        climber.ended(now, 10, slowness)
        stays[-1] = level, calls + 1
        stays += [(climber.level, 0)] if climber.level != level else []
    return stays


def test_trials_that_bring_nothing_become_rare() -> None:
    """Windows at the best level before the next trial: one, then two, three, five, and nine from then on."""
    stays = levels_of(Climber(4, 64), lambda level, _stay: (100 if level == 4 else 50, 1.0))
    first, *later = [calls for level, calls in stays if level == 4]
    assert first == 16, "four begun before, and twelve"
    assert [calls / 28 for calls in later[:5]] == [2, 3, 5, 9, 9], "four begun before, and six of each"


def test_while_more_brings_more_each_window_ends_in_a_step() -> None:
    stays = levels_of(Climber(4, 32), lambda level, _stay: (100 * level, 1.0))
    assert stays[:3] == [(4, 4 + 12), (8, 8 + 16), (16, 16 + 32)]


def test_a_longer_queue_that_brings_no_more_tokens_calls_for_fewer() -> None:
    """From the third stay on the first token takes three times as long."""

    def measured(level: int, stay: int) -> tuple[float, float]:
        return (800, 3.0 if stay >= 3 else 1.0) if level == 8 else (100 * level, 1.0)

    assert [level for level, _calls in levels_of(Climber(8, 8), measured)][:4] == [8, 5, 8, 6]
