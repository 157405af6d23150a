"""How fast it reads and writes, whether a conversation that grows is read again each turn, and how many at once suit it."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor

from evals.serve.doctor.answers import COUNT
from evals.serve.doctor.finding import IDEAL_SHARE, Finding, Form, Growth, Throughput, hours
from evals.serve.doctor.patient import Patient, fine, user
from scaffolds.model import Message, Reply

FIRST_SIZES = (256, 2048, 8192)
LONG_ENOUGH = 0.5
"""Seconds that a prompt must take to tell how fast it is read."""
FIRST_TURN = {Form.FULL: (8192,), Form.THOROUGH: (8192, 20_480)}
GROWTH = 500
SMALLEST = 200
"""Tokens of a first turn under which caches, which count in blocks, tell nothing."""
GOOD_SHARE = 0.5
ANSWER = 16
LEVELS = (1, 2, 4, 8, 16, 32)
MOST_AT_ONCE = 16
"""Where the server does not say how many it works on."""
OUTPUT = {Form.FULL: 32, Form.THOROUGH: 256}


def prefill(patient: Patient) -> list[Finding]:
    """Cold prompts, longer until one takes long enough; also learns how many tokens a word has."""
    size, rate = 0, 0.0
    for wanted in FIRST_SIZES:
        if wanted > (patient.facts.window or 4096) // 2:
            break
        text = patient.filler(wanted)
        reply = patient.question(text, cap=1)
        size = reply.usage.prompt or round(len(text.split()) * patient.tokens_a_word)
        patient.tokens_a_word = size / len(text.split())
        rate = (size - (reply.usage.cached or 0)) / max(reply.first_byte, 1e-4)
        if reply.first_byte >= LONG_ENOUGH:
            break
    patient.note(prefill=rate or None)
    return [fine("prefill", f"reads {rate:,.0f} tokens a second ({size:,} in a cold prompt)")] if rate else []


def prefix_cache(patient: Patient) -> list[Finding]:
    """Three turns of one conversation, by cached tokens and by time to first token against a cold prompt."""
    return [found for size in FIRST_TURN[patient.form] for found in _grown(patient, size)]


def _grown(patient: Patient, wanted: int) -> list[Finding]:
    window = patient.facts.window or 4096
    size = min(wanted, patient.affordable(0.2, wanted), (window - 4 * GROWTH) // 2)
    if size < SMALLEST:
        return [fine("prefix-cache", "not looked at: not enough time or window for a long prompt")]
    turns = converse(patient, size, min(GROWTH, size // 4))
    is_counted = all(turn.cached is not None for turn in turns)
    cold = None if is_counted and size < wanted else _cold(patient, turns[-1].prompt)
    share = hit_share(turns, cold)
    lost = _hours_lost(patient, share)
    patient.note(growth=turns, cold_first_token=cold, hit_share=share, hours_lost=lost)
    how = _told(turns, cold, wanted, size)
    if share >= GOOD_SHARE:
        return [fine("prefix-cache", f"a conversation that grows hits {share:.0%} ({how})")]
    effect = f"about {lost:,.0f} h more for 100 tasks, one request at a time" if lost else ""
    return [patient.problem("no-cache", f"a conversation that grows hits {share:.0%} ({how})", effect)]


def _cold(patient: Patient, size: int) -> float:
    """Seconds to the first token of a prompt that nobody has seen."""
    return patient.question(patient.filler(size), cap=1, seconds=120).first_byte


def converse(patient: Patient, size: int, growth: int) -> tuple[Growth, ...]:
    """The server's own answers go back as a run sends them: a template that drops thoughts changes the prefix."""
    history: list[Message] = [user(f"Read this and say that you did.\n{patient.filler(size)}")]
    turns = []
    for _ in range(3):
        reply = patient.ask(history, cap=ANSWER, seconds=120)
        prompt = reply.usage.prompt or _words(history, patient.tokens_a_word)
        turns.append(Growth(prompt=prompt, cached=reply.usage.cached, first_token=reply.first_byte))
        history += [reply.message, user(f"And this.\n{patient.filler(growth)}")]
    return tuple(turns)


def _words(history: list[Message], tokens_a_word: float) -> int:
    return round(sum(len(str(message["content"]).split()) for message in history) * tokens_a_word)


def hit_share(turns: tuple[Growth, ...], cold: float | None) -> float:
    """Of what the turn before had, the share that was not read again: by count where there is one, else by time."""
    pairs = list(itertools.pairwise(turns))
    if all(later.cached is not None for _, later in pairs):
        return sum(min(1.0, (later.cached or 0) / max(earlier.prompt, 1)) for earlier, later in pairs) / len(
            pairs
        )
    fresh = 1 - turns[-2].prompt / turns[-1].prompt
    saved = 1 - turns[-1].first_token / max(cold or 0, 1e-4)
    return min(1.0, max(0.0, saved / (1 - fresh)))


def _told(turns: tuple[Growth, ...], cold: float | None, wanted: int, size: int) -> str:
    counts = ", ".join("?" if turn.cached is None else f"{turn.cached:,}" for turn in turns)
    parts = [f"turns of {turns[0].prompt:,} to {turns[-1].prompt:,} tokens, cached {counts}"]
    if cold is not None:
        parts.append(f"first token {turns[-1].first_token:.2f} s, cold {cold:.2f} s")
    if size < wanted:
        parts.append(f"smaller than the {wanted:,} that tell most, for want of time or window")
    return "; ".join(parts)


def _hours_lost(patient: Patient, share: float) -> float | None:
    rate = patient.measured.prefill
    if not rate or share >= IDEAL_SHARE:
        return None
    now, ideal = (hours(tasks=100, prefill=rate, decode=1e9, hit_share=s) for s in (share, IDEAL_SHARE))
    return now - ideal


def throughput(patient: Patient) -> list[Finding]:
    """1, 2, 4 … at once, until more brings nothing or takes too long."""
    levels: list[Throughput] = []
    for at_once in levels_for(patient.facts.slots or MOST_AT_ONCE):
        level, seconds = measure(patient, at_once)
        levels.append(level)
        grew = len(levels) < 2 or level.tokens_per_second > 1.05 * levels[-2].tokens_per_second
        if not grew or 2 * seconds > 0.4 * patient.left:
            break
    patient.note(throughput=tuple(levels))
    best = patient.measured.best
    rates = ", ".join(f"{level.at_once}: {level.tokens_per_second:,.0f}" for level in levels)
    suits = f"; {best.at_once} at once suits it (--workers {best.at_once})" if best else ""
    return [fine("throughput", f"writes, by how many at once: {rates} tokens a second{suits}")]


def levels_for(most: int) -> list[int]:
    """Powers of two up to what the server works on at once, and that number: what is beyond only waits."""
    return [*(level for level in LEVELS if level < most), most]


def measure(patient: Patient, at_once: int) -> tuple[Throughput, float]:
    def ask(number: int) -> Reply:
        return patient.question(f"Conversation {number} of {at_once}. {COUNT}", cap=OUTPUT[patient.form])

    started = time.monotonic()
    with ThreadPoolExecutor(at_once) as pool:
        replies = list(pool.map(ask, range(at_once)))
    seconds = time.monotonic() - started
    written = sum(reply.usage.completion or len(reply.content.split()) for reply in replies)
    first = max(reply.first_byte for reply in replies)
    rate = written / max(seconds, 1e-4)
    return Throughput(at_once=at_once, tokens_per_second=rate, first_token=first), seconds
