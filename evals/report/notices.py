"""What was noticed about attempts, by kind: how often, what it does to the score, and what mends it.

A kind that is not known here is listed by its own words: nothing that was noticed stays hidden. Not covered: which
attempts they are (the page lists them, `record.json` has them).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from evals.record import Flag, FlagKind, Record
from evals.report.text import counted


class Kind(NamedTuple):
    """One kind of notice; `{times}` in its words is filled in."""

    words: str
    effect: str
    remedy: str = ""


KINDS = {
    "context_truncated": Kind(
        "the server cut the front of the conversation off in silence ({times} times)",
        "the model answered without having seen the task or its own work: the rate is too low",
        "give the server a larger context (llama-server -c, Ollama num_ctx, vLLM --max-model-len), run these again",
    ),
    "usage_missing": Kind(
        "the server did not count tokens in {times} answers",
        "token counts are too low, and a context that is cut off cannot be noticed",
        "use a server that sends `usage`",
    ),
    "unparsable": Kind(
        "{times} answers could not be read",
        "each cost the attempt a step",
        "look at the server's chat template and tool parser",
    ),
    "silent_until_time_limit": Kind(
        "the server sent nothing until the attempt's time was over",
        "they count as failed by their time limit",
        "raise --max-seconds, or lower --workers",
    ),
}
"""What the client notices, the most serious first: this is the order in which a reader gets them."""
EFFECTS = {
    FlagKind.LOOKS_FOR_ANSWERS: "the lower bound counts such a pass as failed; look at the trajectory",
    FlagKind.REPLACES_RUNNER: "the lower bound counts such a pass as failed unless the strict grader confirmed it",
    FlagKind.SHARED_VERIFIER: "the lower bound counts such a pass as failed, since an agent can prepare its own machine",
    FlagKind.TOUCHES_TESTS: "evidence beside, no effect on the score",
    FlagKind.SERVER: "evidence beside, no effect on the score",
    FlagKind.OTHER: "evidence beside, no effect on the score",
}


def notices(records: Sequence[Record]) -> Iterator[str]:
    """A line for each kind that occurs in the records of one scaffold; `FlagKind` has the order of kinds."""
    attempts: Counter[tuple[FlagKind, str]] = Counter()
    times: Counter[tuple[FlagKind, str]] = Counter()
    for record in records:
        attempts.update({(flag.kind, flag.what) for flag in record.flags})
        for flag in record.flags:
            times[flag.kind, flag.what] += flag.count
    for key in sorted(attempts, key=rank):
        yield line(*key, attempts[key], times[key])
    yield from other_facts(records)


def rank(key: tuple[FlagKind, str]) -> tuple[int, int, str]:
    """The server's own faults first: they touch the number itself."""
    kind, what = key
    known = list(KINDS)
    place = known.index(what) if what in known else len(known)
    return (0 if what in known else 1 + list(FlagKind).index(kind), place, what)


def line(kind: FlagKind, what: str, attempts: int, times: int) -> str:
    known = KINDS.get(what) if kind is FlagKind.SERVER else None
    if known is None:
        return f"{counted(attempts, 'attempt')}: {Flag(kind=kind, what=what)}: {EFFECTS[kind]}"
    remedy = f"; {known.remedy}" if known.remedy else ""
    return f"{counted(attempts, 'attempt')}: {known.words.format(times=times)}: {known.effect}{remedy}"


def other_facts(records: Sequence[Record]) -> Iterator[str]:
    """What records hold beside flags and a reader would miss."""
    if killed := [record for record in records if record.oom_kills]:
        yield (
            f"{counted(len(killed), 'attempt')}: {sum(r.oom_kills for r in killed)} processes were killed for lack of memory: "
            "counted as the agent's doing; raise it with --set sandbox.memory=…"
        )
    if skipped := [record for record in records if record.skipped_paths]:
        paths = list(dict.fromkeys(path for record in skipped for path in record.skipped_paths))
        yield (
            f"{counted(len(skipped), 'attempt')}: {len(paths)} changed paths are not in the patch (what git ignores, is no "
            f"regular file or is too large), such as {paths[0]}: a fix that needs them fails"
        )
    for note, count in Counter(note for record in records for note in record.image_notes).most_common():
        yield f"{counted(count, 'attempt')}: image: {note}"
