"""Verdicts: both ways, abstaining, and every kind of bad input, on results made up and on public ones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evals.claims.catalog import find
from evals.claims.claim import Claim
from evals.record import Decision, Outcome
from evals.results.table import Drawn, Results, Row, System, merge
from evals.verdict.measure import Estimand
from evals.verdict.protocol_match import Match
from evals.verdict.reference import problem_lists
from evals.verdict.verify import verify
from tasks.errors import UserError
from tests.published_lists import from_resolved_lists

OURS = System("qwen3.6-27b", "edit")
CLAIM = find("qwen3.6-27b/swe-bench-verified")


def results(
    rate: float, *, attempts: int = 4, tasks: int = 500, margin: float | None = 0.05, seed: int = 3
) -> Results:
    """Tasks whose own chances differ as those of real ones do, `rate` on average."""
    rng = np.random.default_rng(seed)
    chances = rng.beta(rate * 0.55, (1 - rate) * 0.55, tasks)
    chances = np.clip(chances + rate - chances.mean(), 0, 1)
    rows = [
        Row(
            OURS,
            f"task-{index}",
            f"repo-{index % 12}",
            attempt,
            Outcome.RESOLVED if rng.random() < chance else Outcome.UNRESOLVED,
            official=True,
        )
        for attempt in range(1, attempts + 1)
        for index, chance in enumerate(chances)
    ]
    return Results(source="test", benchmark="swebench-verified", rows=tuple(rows), margin=margin)


def unjudged(original: Results, share: float) -> Results:
    """The same with a share of the tasks never judged."""
    cut = int(share * original.planned)
    lost = {f"task-{index}" for index in range(cut)}
    rows = [r._replace(outcome=Outcome.NOT_JUDGED) if r.task in lost else r for r in original.rows]
    return replace(original, rows=tuple(rows))


def test_a_true_claim_is_reproduced() -> None:
    verdict = verify(CLAIM, results(0.772))
    assert verdict.decision is Decision.REPRODUCED
    assert verdict.margin_fixed_before
    assert -5 < verdict.interval[0] < verdict.interval[1] < 5
    assert "runs not stated, taken as one run" in " ".join(verdict.basis)


def test_a_false_claim_is_not() -> None:
    assert verify(CLAIM, results(0.6)).decision is Decision.NOT_REPRODUCED


def test_no_difference_found_is_not_a_reproduction() -> None:
    """40 tasks, one attempt, a rate near the claim: far too little to say anything."""
    few = verify(CLAIM, replace(results(0.772, attempts=1, tasks=40), drawn=Drawn.SAMPLE))
    assert few.decision is Decision.UNDECIDED
    assert few.interval[0] < 0 < few.interval[1]
    assert "pairs of public runs" in " ".join(few.basis)


def test_a_narrow_margin_says_that_no_run_decides() -> None:
    verdict = verify(CLAIM, results(0.772, margin=0.01))
    assert verdict.decision is Decision.UNDECIDED
    assert "no number of runs" in verdict.reason


def test_undecided_says_how_many_more() -> None:
    claim = find("claude-sonnet-4.5/swe-bench-verified")
    assert claim.protocol.runs == 10
    same = "qwen3.6-27b"
    one = verify(claim, results(0.775, attempts=1, margin=0.02), same_model_as=same)
    assert one.decision is Decision.UNDECIDED
    assert one.reason == "run 19 more attempts at each task"
    many = verify(claim, results(0.775, attempts=6, margin=0.02), same_model_as=same)
    assert many.decision is Decision.REPRODUCED


def test_the_verdict_must_hold_at_both_bounds() -> None:
    sure = results(0.772)
    assert verify(CLAIM, unjudged(sure, 0.004)).decision is Decision.REPRODUCED
    shaky = verify(CLAIM, unjudged(sure, 0.2))
    assert shaky.decision is Decision.UNDECIDED
    assert shaky.reason == "it hangs on 400 attempts that were not judged and 0 passes that are flagged"
    assert shaky.bounds[0].rate < shaky.measured < shaky.bounds[1].rate


def test_flagged_passes_widen_the_bounds() -> None:
    sure = results(0.772)
    flagged = replace(sure, rows=tuple(row._replace(flagged=int(row.task[5:]) < 100) for row in sure.rows))
    verdict = verify(CLAIM, flagged)
    assert verdict.decision is Decision.UNDECIDED
    passes = sum(row.flagged and row.outcome is Outcome.RESOLVED for row in flagged.rows)
    assert 0 < passes < 400, "a flag on an attempt that failed changes nothing"
    assert (
        verdict.reason == f"it hangs on 0 attempts that were not judged and {passes} passes that are flagged"
    )


def test_chosen_tasks_never_speak_for_the_benchmark() -> None:
    chosen = replace(results(0.772, tasks=100), drawn=Drawn.CHOSEN)
    assert "chosen, not drawn" in verify(CLAIM, chosen).reason


def test_tasks_like_these_is_wider() -> None:
    fixed = verify(CLAIM, results(0.772))
    like = verify(CLAIM, results(0.772), estimand=Estimand.LIKE_THESE)
    assert like.interval[1] - like.interval[0] > fixed.interval[1] - fixed.interval[0]


@pytest.mark.parametrize(
    ("claim", "change", "complaint"),
    [
        ("qwen3.6-27b/terminal-bench-2.0", {}, "same benchmark"),
        ("qwen3.6-27b/chatbot-arena-elo@press", {}, "no percentage"),
        ("qwen3.6-27b/swe-bench-verified", {"margin": None}, "no margin"),
        ("qwen3.6-27b/swe-bench-verified", {"benchmark": "swebench-lite"}, "same benchmark"),
    ],
)
def test_refusals(claim: str, change: dict[str, object], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        verify(find(claim), replace(results(0.7, tasks=30), **change))  # type: ignore[arg-type]


def test_a_fixed_margin_cannot_be_changed() -> None:
    with pytest.raises(UserError, match="cannot be changed"):
        verify(CLAIM, results(0.7, tasks=30), margin=0.1)
    assert verify(CLAIM, results(0.7, tasks=30), margin=0.05).margin_fixed_before, "the same again is none"
    after = verify(CLAIM, results(0.772, margin=None), margin=0.05)
    assert not after.margin_fixed_before
    assert "chosen after the run" in " ".join(after.limits)


def test_nothing_judged_is_refused() -> None:
    with pytest.raises(UserError, match="not one attempt"):
        verify(CLAIM, unjudged(results(0.7, tasks=30), 1.0))


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_zero_passes_and_all_passes_are_answers(rate: float) -> None:
    same = results(0.5, tasks=500, attempts=1)
    outcome = Outcome.RESOLVED if rate else Outcome.UNRESOLVED
    verdict = verify(CLAIM, replace(same, rows=tuple(row._replace(outcome=outcome) for row in same.rows)))
    assert verdict.decision is (Decision.EXCEEDS if rate else Decision.NOT_REPRODUCED)
    assert verdict.interval[0] < verdict.difference < verdict.interval[1]
    assert "all tasks ended alike" in " ".join(verdict.limits)


def test_a_claim_without_n_is_answered_with_its_limit() -> None:
    claim = find("qwen3-coder-480b/swe-bench-verified@500-turns")
    assert claim.n_tasks is None
    assert "gives no n; taken as 500" in " ".join(verify(claim, results(0.7)).limits)


def test_two_graders_are_named() -> None:
    mixed = results(0.772)
    rows = tuple(row._replace(grader=f"swebench=={4 + row.attempt % 2}") for row in mixed.rows)
    assert "different graders" in " ".join(verify(CLAIM, replace(mixed, rows=rows)).limits)


def test_protocol_lines() -> None:
    run = results(0.772)
    run = replace(
        run, protocol=run.protocol.model_copy(update={"temperature": 0.6, "context_window": 200_000})
    )
    lines = {point.name: point for point in verify(CLAIM, run).protocol}
    assert lines["temperature"].match is Match.MISMATCH
    assert lines["context window (tokens)"].match is Match.MATCH
    assert lines["turn limit"].match is Match.UNKNOWN
    assert lines["scaffold"].match is Match.MISMATCH
    assert lines["runs"].claimed == "not stated, taken as 1"


def test_public_results_against_their_own_claim(shared_data: Path) -> None:
    """OpenHands on Qwen3-Coder-480B is where the vendor's 69.6 comes from; mini-SWE-agent is 14 points away."""
    collection = json.loads((shared_data / "verified_submissions.json").read_text())
    tasks = {name: name.rsplit("-", 1)[0] for name in collection["instances"]}
    claim = find("qwen3-coder-480b/swe-bench-verified@500-turns")

    def verdict_of(name: str, scaffold: str, claim: Claim = claim) -> Decision:
        (entry,) = [one for one in collection["submissions"] if one["id"] == name]
        found = from_resolved_lists(
            {System("Qwen3-Coder-480B", scaffold): entry["resolved_ids"]},
            tasks,
            benchmark="swe-bench-verified",
            source=name,
        )
        return verify(claim, found, margin=0.05).decision

    assert verdict_of("20250805_openhands-Qwen3-Coder-480B-A35B-Instruct", "OpenHands") is Decision.REPRODUCED
    assert (
        verdict_of("20250802_mini-v1.0.0_qwen3-coder-480b-a35b-instruct", "mini") is Decision.NOT_REPRODUCED
    )


@pytest.mark.parametrize(
    ("scaffold", "own"), [("edit-1.0", False), ("edit-1.0a", True), ("edit-1.0b", False)]
)
def test_evidence_that_names_a_run_calls_it_the_claims_own(scaffold: str, own: bool) -> None:
    """Up to eight letters may stand in any text."""
    claim = CLAIM.model_copy(update={"evidence": "https://host/runs/edit-1.0a"})
    found = results(0.7, tasks=30)
    rows = tuple(row._replace(system=System("qwen3.6-27b", scaffold)) for row in found.rows)
    assert verify(claim, replace(found, rows=rows)).own_run is own


def test_known_problems_and_the_vendors_n() -> None:
    broken = set().union(*(entry.ids for entry in problem_lists()))
    assert len(broken) == 33
    left_out = next(e.ids for e in problem_lists() if e.source.startswith("Anthropic"))
    names = [*sorted(broken), *(f"django__django-{n}" for n in range(467))]
    found = from_resolved_lists(
        {OURS: names[40:]},
        dict.fromkeys(names, "r"),
        benchmark="swe-bench-verified",
        source="x",
    )
    lines = {
        line.name: line
        for line in verify(find("claude-3.7-sonnet/swe-bench-verified@n489"), found, margin=0.05).sensitivity
    }
    assert lines["the vendor's n of 489"].tasks == 500 - len(left_out) == 489
    assert lines["without 33 tasks known as broken"].rate == pytest.approx(100 * 460 / 467, abs=0.01)


def test_looks_use_only_what_was_planned() -> None:
    run = replace(results(0.5, attempts=1), looks=(100, 200, 300))
    waiting = {f"task-{index}" for index in range(230, 500)}
    rows = [
        r._replace(outcome=Outcome.NOT_JUDGED, failure="missing") if r.task in waiting else r
        for r in run.rows
    ]
    verdict = verify(CLAIM, replace(run, rows=tuple(rows)))
    assert verdict.decision is Decision.NOT_REPRODUCED
    assert "after 200 of 500 tasks" in " ".join(verdict.limits)
    early = [r._replace(outcome=Outcome.NOT_JUDGED, failure="missing") for r in run.rows]
    with pytest.raises(UserError, match="first look is planned at 100"):
        verify(CLAIM, replace(run, rows=tuple(early)))


def test_a_look_is_stricter_than_a_single_test() -> None:
    run = results(0.772, attempts=1)
    once = verify(CLAIM, replace(run.first(200), drawn=Drawn.WHOLE))
    looked = verify(CLAIM, replace(run, looks=(100, 200, 500)).first(200))
    assert looked.interval[1] - looked.interval[0] > once.interval[1] - once.interval[0]


def test_merging_counts_attempts_on_and_refuses_other_versions() -> None:
    one = results(0.7, tasks=5, attempts=1)
    assert {row.attempt for row in merge([one, one]).rows} == {1, 2}
    with pytest.raises(UserError, match="one benchmark"):
        merge([one, replace(one, benchmark="other")])
    versions = [replace(one, rows=tuple(r._replace(task_hash=h) for r in one.rows)) for h in "ab"]
    with pytest.raises(UserError, match="another version"):
        merge(versions)
