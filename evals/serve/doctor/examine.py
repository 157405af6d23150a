"""All the checks, in an order in which each may use what those before it measured."""

from __future__ import annotations

import time
from collections.abc import Mapping

from evals.serve.doctor import answers, calls, speed, window
from evals.serve.doctor.finding import Examination, Finding, Form, Level
from evals.serve.doctor.patient import Check, Patient, fine
from scaffolds.model import ContextOverflow, ModelError, TimeUp
from scaffolds.openai.config import ModelConfig
from scaffolds.openai.dialects import BY_NAME
from scaffolds.openai.metrics import server_counters
from scaffolds.openai.probe import ServerFacts
from tasks.backend import Progress
from tasks.errors import UserError

HELLO_SECONDS = 120.0


def metrics(patient: Patient) -> list[Finding]:
    """Whether the server's own counters can be read while a run goes on."""
    there = server_counters(patient.config, patient.facts.dialect)
    if there:
        return [fine("metrics", f"/metrics tells {', '.join(there)}")]
    is_known = bool(BY_NAME[patient.facts.dialect].metrics)
    return [patient.problem("no-metrics", "no /metrics page that we can read")] if is_known else []


SHORT: Mapping[str, Check] = {"the cap": answers.cap, "tool calls": calls.tool_calls}
FULL: Mapping[str, Check] = {
    **SHORT,
    "reading speed": speed.prefill,
    "the prefix cache": speed.prefix_cache,
    "a prompt beyond the window": window.beyond,
    "a prompt within the window": window.within,
    "several tool calls": calls.several_calls,
    "the cap's other name": answers.completion_cap,
    "echoed reasoning": calls.echoed_reasoning,
    "throughput": speed.throughput,
    "sameness": answers.sameness,
    "conversations at once": window.together,
    "a prompt that fills the window": window.taken,
    "metrics": metrics,
    "who answers": answers.signature,
}
"""Name, as the progress line has it → check."""
AT_THE_END = (window.taken, metrics, answers.signature)
"""What is looked at even when the time is over: a second or none."""


def examine(
    config: ModelConfig,
    facts: ServerFacts,
    form: Form,
    progress: Progress = lambda _what, _fraction: None,
    *,
    tools: bool = True,
) -> Examination:
    """Look; `tools`: also at tool calls. Raises `UserError` for an address behind which nobody chats."""
    started = time.monotonic()
    checks = {
        name: c for name, c in (SHORT if form is Form.SHORT else FULL).items() if tools or "tool" not in name
    }
    patient = Patient(config, facts, form)
    findings: list[Finding] = []
    try:
        if form is not Form.SHORT:  # a run asks that itself, with its own settings
            greet(patient)
        for number, (name, check) in enumerate(checks.items()):
            progress(f"looking at {name}", number / len(checks))
            findings += _looked(patient, name, check)
    finally:
        patient.close()
    seconds = time.monotonic() - started
    return Examination(
        form=form, server=facts, findings=once(findings), measured=patient.measured, seconds=round(seconds, 1)
    )


def greet(patient: Patient) -> None:
    """One short answer. Raises `UserError` where there is none."""
    try:
        patient.question("Say yes.", cap=16, seconds=HELLO_SECONDS)
    except (ModelError, ContextOverflow) as error:
        raise UserError(f"{patient.config.base_url} does not chat: {error}") from None
    except TimeUp as late:
        raise UserError(
            f"{patient.config.base_url} did not end an answer of 16 tokens in {late.seconds:.0f} s: look at its log"
        ) from None


def _looked(patient: Patient, name: str, check: Check) -> list[Finding]:
    """The check's findings; what kept it from looking is one, too."""
    if not patient.left and check not in AT_THE_END:
        return [fine("not-looked-at", f"{name}: no time was left (--thorough takes it)")]
    try:
        return check(patient)
    except (ModelError, ContextOverflow, TimeUp) as error:
        return [patient.problem("no-answer", f"{name}: {error}")]


def once(findings: list[Finding]) -> tuple[Finding, ...]:
    """The worst first; of one problem that several checks met, what the first one said."""
    problems = {f.name: f for f in reversed(findings) if f.level is not Level.OK and f.name != "no-answer"}
    kept = [f for f in findings if f.name not in problems or problems[f.name] is f]
    return tuple(sorted(kept, key=lambda finding: ORDER.index(finding.level)))


ORDER = (Level.BLOCKER, Level.WARNING, Level.OK)
