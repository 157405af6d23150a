"""The context window in force: what is refused, what loses its head in silence, and whether slots share one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from evals.serve.doctor.finding import Finding, Form
from evals.serve.doctor.patient import Patient, fine
from scaffolds.model import ContextOverflow, Reply, TimeUp

BEYOND, WITHIN = 1.15, 0.9
"""Prompts that must not and must fit, as shares of the stated window."""
UNCOUNTED = 0.7
"""The same where nobody counts tokens, and a word may be more of them than we think."""
GUESS = 8192
"""Tokens to try where the server states no window."""
HANG_UP = 4.0
"""Seconds after which a prompt that was not refused counts as taken; the rest of it need not be read."""
LEAST = 200
"""Tokens of a prompt under which nothing is learned."""
LOST = 0.75
"""A prompt that counts fewer tokens than this share of what was sent has lost some."""
HEAD, TAIL = "OSPREY", "TURNIP"
MOST_AT_ONCE = 8


def within(patient: Patient) -> list[Finding]:
    """A prompt that fits the stated window, read to its end where there is time, with a word at its head and tail."""
    stated = patient.facts.window
    whole = int((WITHIN if patient.counted else UNCOUNTED) * (stated or GUESS))
    size = patient.affordable(0.25, whole)
    found = [] if stated else [patient.problem("unstated-window", "the server does not state its window")]
    if size < min(LEAST, whole):
        return [
            *found,
            fine("window", "not looked at: no time was left for a long prompt (--thorough takes it)"),
        ]
    try:
        reply = needle(patient, size, seconds=60 if patient.form is Form.FULL else 600)
    except ContextOverflow as error:
        return [*found, _small(patient, size, error)]
    except TimeUp:
        return [*found, fine("window", f"not read to its end in time: {size:,} tokens")]
    if what := truncated(reply, size):
        return [*found, patient.problem("truncation", what)]
    patient.read = size
    what = f"{size:,} tokens of {stated or 'an unstated window'} reach the model whole"
    return [*found, fine("window", what)]


def taken(patient: Patient) -> list[Finding]:
    """Where there was no time to have a prompt read that fills the window: send one, and hang up unless it is refused.

    To come last: a server may go on with what nobody waits for.
    """
    whole = int((WITHIN if patient.counted else UNCOUNTED) * (patient.facts.window or GUESS))
    if patient.read >= whole:
        return []
    try:
        patient.question(patient.filler(whole), cap=1, seconds=HANG_UP)
    except ContextOverflow as error:
        return [_small(patient, whole, error)]
    except TimeUp:
        return [fine("window-taken", f"{whole:,} tokens are not refused; they were not read to their end")]
    return [fine("window-taken", f"{whole:,} tokens are taken")]


def _small(patient: Patient, size: int, error: ContextOverflow) -> Finding:
    stated = patient.facts.window or "?"
    return patient.problem("small-window", f"it states {stated} tokens and refuses {size:,}: {error}")


def needle(patient: Patient, size: int, *, seconds: float) -> Reply:
    """A code word at the head of a long prompt, another at its tail."""
    text = f"The first code word is {HEAD}.\n{patient.filler(size - 60)}\nThe last code word is {TAIL}.\n"
    return patient.question(
        f"{text}Which code words were named? Write them down, nothing else.", cap=24, seconds=seconds
    )


def truncated(reply: Reply, sent: int) -> str:
    """What tells that the head of a prompt was lost, by count or, where nothing is counted, by the words; or ""."""
    if reply.usage.prompt:
        lost = reply.usage.prompt < LOST * sent
        return (
            f"about {sent:,} tokens were sent, {reply.usage.prompt:,} were read, without an error"
            if lost
            else ""
        )
    if TAIL in reply.content and HEAD not in reply.content:
        return f"of about {sent:,} tokens the model sees the end and not the beginning, without an error"
    return ""


def beyond(patient: Patient) -> list[Finding]:
    """A prompt longer than the stated window must be refused; a server that answers it has read only a part."""
    stated = patient.facts.window
    if not stated:
        return []
    sent = int(BEYOND * stated)
    try:
        reply = patient.question(patient.filler(sent), cap=1, seconds=max(HANG_UP, min(30.0, patient.left)))
    except ContextOverflow:
        return [fine("overflow", f"more than the stated {stated:,} tokens are refused")]
    except TimeUp:
        return [
            fine(
                "overflow",
                f"{sent:,} tokens are not refused at once; what becomes of them was not waited for",
            )
        ]
    if what := truncated(reply, sent):
        return [patient.problem("truncation", what)]
    return [fine("overflow", f"{sent:,} tokens are read although {stated:,} are stated")]


def together(patient: Patient) -> list[Finding]:
    """Conversations that fit one by one, and together need more than one window."""
    window, at_once = patient.facts.window, min(patient.facts.slots or 4, MOST_AT_ONCE)
    if not window or at_once < 2:
        return []
    size = int(1.3 * window / at_once)
    if patient.affordable(0.6, at_once * size) < at_once * size:
        need = at_once * size / (patient.measured.prefill or 1)
        return [
            fine(
                "together",
                f"not looked at: {at_once} of {size:,} tokens at once take {need:,.0f} s (--thorough)",
            )
        ]
    texts = [patient.filler(size) for _ in range(at_once)]
    with ThreadPoolExecutor(at_once) as pool:
        failures = sum(pool.map(lambda text: _overflows(patient, text), texts))
    if failures:
        what = f"{at_once} conversations of {size:,} tokens at once: {failures} ended for want of context"
        return [patient.problem("shared-window", f"{what}, though each fits the stated {window:,}")]
    return [fine("together", f"{at_once} conversations of {size:,} tokens at once leave each other alone")]


def _overflows(patient: Patient, text: str) -> bool:
    try:
        patient.question(text, cap=1, seconds=300)
    except ContextOverflow:
        return True
    return False
