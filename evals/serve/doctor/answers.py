"""The cap, the reason for the end, the counts, sameness of answers, and who signs them."""

from __future__ import annotations

from evals.serve.doctor.finding import Finding
from evals.serve.doctor.patient import Patient, fine
from scaffolds.model import CUT_OFF, Reply

CAP = 16
GRACE = 2
"""Tokens more than the cap that count as kept: some servers count the end of text."""
COUNT = "Count from 1 to 100, one number a line, and write nothing else."
HARBOUR = "Describe a harbour in the early morning in one sentence."
WORDS = 16
"""Tokens: two answers of so many are hardly ever the same by chance."""
CHARACTERS = 8
"""Of one token, at most, where the server counts none."""


def cap(patient: Patient) -> list[Finding]:
    """`max_tokens`, what the answer says of its end, and whether tokens are counted."""
    reply = patient.question(COUNT, cap=CAP, stream=patient.config.stream)
    found = [_cap(patient, reply)]
    if not reply.usage.prompt:
        found.append(patient.problem("usage-missing", "answers do not say how many tokens they took"))
    return found


def _cap(patient: Patient, reply: Reply) -> Finding:
    if exceeds(reply):
        return patient.problem("cap-ignored", f"max_tokens {CAP} was asked for, {_size(reply)} came")
    is_cut = reply.usage.completion >= CAP or not reply.usage.prompt
    if is_cut and reply.finish_reason != CUT_OFF and "100" not in reply.content:
        return patient.problem(
            "lying-finish", f"cut at max_tokens, and finish_reason is {reply.finish_reason!r}"
        )
    if reply.finish_reason != CUT_OFF:
        return fine(
            "cap", f"not tried: the answer ended by itself after {_size(reply)}, before max_tokens {CAP}"
        )
    return fine("cap", f"max_tokens is kept, finish_reason is {reply.finish_reason!r}")


def completion_cap(patient: Patient) -> list[Finding]:
    """The newer name of the same."""
    reply = patient.question(COUNT, max_completion_tokens=CAP, seconds=min(20.0, patient.left))
    if exceeds(reply):
        return [patient.problem("completion-cap-ignored", f"max_completion_tokens {CAP} changed nothing")]
    return [fine("completion-cap", "max_completion_tokens is kept, too")]


def exceeds(reply: Reply) -> bool:
    if reply.usage.completion:
        return reply.usage.completion > CAP + GRACE
    return len(reply.content + reply.reasoning) > CAP * CHARACTERS


def _size(reply: Reply) -> str:
    return f"{reply.usage.completion or len(reply.content + reply.reasoning) // 4} tokens"


def sameness(patient: Patient) -> list[Finding]:
    """Temperature 0 twice, and one seed twice."""
    options = {"greedy": {"temperature": 0}, "seeded": {"temperature": 1, "seed": 7}}
    varying = []
    for name, fields in options.items():
        said = {
            (r.content, r.reasoning) for r in (patient.question(HARBOUR, cap=WORDS, **fields) for _ in "12")
        }
        varying += [name] if len(said) > 1 else []
    if varying:
        return [
            patient.problem("varies", f"{' and '.join(varying)} answers differ from one time to the next")
        ]
    return [fine("sameness", "temperature 0 and a seed give the same answer again, one request at a time")]


def signature(patient: Patient) -> list[Finding]:
    """Who signed all the answers of this look."""
    named = {served for served in patient.served if served.model or served.fingerprint}
    if len(named) > 1:
        names = " and ".join(sorted(" ".join(filter(None, served)) for served in named)[:2])
        return [patient.problem("two-servers", f"answers are signed in two ways: {names}")]
    name = next(iter(named)).model if named else ""
    asked = patient.config.model.casefold()
    if name and asked not in name.casefold() and name.casefold() not in asked:
        return [patient.problem("other-name", f"asked for {patient.config.model!r}, {name!r} answers")]
    return [fine("name", f"answers are signed {name!r}" if name else "answers bear no name")]
