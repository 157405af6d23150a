"""What a run keeps of its attempts and its server, piece by piece and without a machine: exact documents, exact limits."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import scaffolds
from evals.claims.network import network_dependent
from evals.record import AttemptKey, Failure, FlagKind, Grade, GraderVerdict, Outcome, Party, Record
from evals.run.kept_verification import TEXT, KeptVerification, shared_key
from evals.run.manifest import Elsewhere, Manifest, begin_or_resume, compose, differences
from evals.run.pins import digest_in, known_images, pin, pinned
from evals.run.plan import RunPlan
from evals.run.plan_tasks import check_subset
from evals.run.set_aside import forget_unjudged, set_aside
from evals.run.spoiled import Spoiled
from evals.run.state import CHANGES, flags_of_state, keep_state, verify_shared, withhold_skills
from evals.run.tally import Tally
from evals.run.tool_calls import ToolCallEvidence
from evals.run.trajectory import STREAM, StepLog, read_steps
from evals.run.versions import source_hash
from evals.stats.subset import draw_stratified
from scaffolds.base import Metrics, Step, Stop, ToolCallCounts, ToolCallMode, ToolCallRecord, Trajectory
from tasks.backend import Left, VerifierResult
from tasks.errors import UserError
from tasks.sandbox import ExecResult, MachineState, SandboxError
from tasks.task import ImageSpec, MachineBrief, Skills, Task, Verifier
from tests.fakes.plain_sandbox import PlainSandbox
from tests.runs_on_disk import write_run
from tests.served_run import make_task

KEYS = [AttemptKey(scaffold="s", task_id=f"t{n}", attempt=1) for n in range(5)]
BARE = {
    "task_hash": "h",
    "image": "i",
    "stop": None,
    "patch_sha256": "p",
    "patch_bytes": 0,
    "started": "s",
}
DIGEST = "sha256:" + "0a" * 32
DAMAGED = b"{"


def record(key: AttemptKey = KEYS[0], **facts: Any) -> Record:
    return Record.model_validate(BARE | {"key": key} | facts)


def grade(outcome: Outcome = Outcome.RESOLVED, party: Party | None = None) -> Grade:
    column = GraderVerdict(outcome=outcome, reason="why")
    return Grade(outcome=outcome, official=column, grader="g", key="k", party=party)


def write(run: Path, made: Record | bytes, key: AttemptKey, graded: Grade | None = None) -> None:
    key.directory(run).mkdir(parents=True)
    data = made if isinstance(made, bytes) else made.model_dump_json().encode()
    (key.directory(run) / "record.json").write_bytes(data)
    if graded:
        (key.directory(run) / "grade.json").write_text(graded.model_dump_json())


CALLS = tuple(ToolCallRecord(tool_call_id=f"c{n}", function_name="bash", arguments={"n": n}) for n in "12")
STEPS = (
    Step(source="system", message="Repair it."),
    Step(
        source="agent",
        message="Let me look.",
        reasoning_content="Hm.",
        tool_calls=CALLS,
        observations=("one", "two", "and more"),
        metrics=Metrics(prompt_tokens=3, completion_tokens=4),
        seconds=1.23456,
        side=True,
    ),
    Step(source="agent", message="Done.", seconds=2.0),
)


def test_a_trajectory_is_one_document_of_its_steps(tmp_path: Path) -> None:
    seen: list[Step] = []
    with StepLog(tmp_path, seen.append) as log:
        for number, step in enumerate(STEPS, start=1):
            log(step)
            assert list(read_steps(tmp_path / STREAM)) == list(STEPS[:number]), "a kill loses none of them"
        ended = Trajectory(
            Stop.SUBMITTED,
            detail="fine",
            steps=2,
            side_calls=1,
            prompt_tokens=30,
            completion_tokens=40,
            calls=ToolCallCounts(native=2),
            routes=Counter({"chat": 2}),
        )
        log.finish(ended, session="s/t/1", scaffold="bash", version="7", model="m")
    assert seen == list(STEPS)
    assert not (tmp_path / STREAM).exists()
    assert json.loads((tmp_path / "trajectory.json").read_bytes()) == {
        "schema_version": "ATIF-v1.8",
        "session_id": "s/t/1",
        "agent": {"name": "asclaimed-bash", "version": "7", "model_name": "m"},
        "steps": [
            {"step_id": 1, "source": "system", "message": "Repair it.", "extra": {"seconds": 0.0}},
            {
                "step_id": 2,
                "source": "agent",
                "message": "Let me look.",
                "reasoning_content": "Hm.",
                "tool_calls": [
                    {"tool_call_id": "c1", "function_name": "bash", "arguments": {"n": "1"}},
                    {"tool_call_id": "c2", "function_name": "bash", "arguments": {"n": "2"}},
                ],
                "llm_call_count": 1,
                "observation": {
                    "results": [
                        {"source_call_id": "c1", "content": "one"},
                        {"source_call_id": "c2", "content": "two"},
                        {"source_call_id": None, "content": "and more"},
                    ]
                },
                "metrics": {"prompt_tokens": 3, "completion_tokens": 4},
                "extra": {"seconds": 1.2346, "side": True},
            },
            {
                "step_id": 3,
                "source": "agent",
                "message": "Done.",
                "llm_call_count": 0,
                "extra": {"seconds": 2.0},
            },
        ],
        "final_metrics": {
            "total_prompt_tokens": 30,
            "total_completion_tokens": 40,
            "total_steps": 3,
            "extra": {"model_calls": 2, "side_calls": 1},
        },
        "extra": {
            "stop": "submitted",
            "detail": "fine",
            "calls": {"native": 2, "recovered": 0, "malformed": 0, "written": 0},
            "routes": {"chat": 2},
        },
    }


def test_the_hash_of_the_scaffolds_is_of_names_and_bytes_of_all_their_files() -> None:
    root = Path(str(scaffolds.__file__)).parent
    files = {
        str(path.relative_to(root)): path for path in root.rglob("*") if path.name.endswith((".py", ".yaml"))
    }
    whole = b"".join(
        name.encode() + b"\0" + files[name].read_bytes() + b"\0"
        for name in sorted(files, key=lambda name: Path(name).parts)
    )
    assert source_hash() == hashlib.sha256(whole).hexdigest()


def test_what_is_set_aside_takes_the_next_free_number(tmp_path: Path) -> None:
    attempt = tmp_path / "1"
    set_aside(attempt, "failed")
    for _ in range(3):
        attempt.mkdir()
        set_aside(attempt, "failed")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.failed-1", "1.failed-2", "1.failed-3"]


def test_only_what_server_or_sandbox_spoiled_is_tried_again(tmp_path: Path) -> None:
    lost = Failure(party=Party.SANDBOX, message="gone")
    write(tmp_path, record(KEYS[0]), KEYS[0], grade())
    write(tmp_path, record(KEYS[1], failure=lost), KEYS[1], grade(Outcome.NOT_JUDGED, Party.SANDBOX))
    write(tmp_path, record(KEYS[2]), KEYS[2], grade(Outcome.NOT_JUDGED, Party.SERVER))
    write(tmp_path, record(KEYS[3]), KEYS[3], grade(Outcome.NOT_JUDGED, Party.TASK))
    assert forget_unjudged(tmp_path, KEYS) == 2, "of the last one there is nothing"
    assert sorted(path.name for path in (tmp_path / "s/t1").iterdir()) == ["1.unjudged-1"]
    graded = [key.task_id for key in KEYS if (key.directory(tmp_path) / "grade.json").exists()]
    assert graded == ["t0", "t3"]
    assert forget_unjudged(tmp_path, KEYS) == 0


def test_a_spoiled_attempt_that_is_quarantined_is_not_tried_again_twice(tmp_path: Path) -> None:
    spoiled = Spoiled(tmp_path, Tally(done=2))
    for key in KEYS[:2]:
        write(tmp_path, record(key), key)
        spoiled.attempt(key)
    spoiled.quarantine(KEYS[:1], "quarantined")
    assert spoiled.without([]) == KEYS[1:2]


def silent(**facts: Any) -> dict[str, Any]:
    return {"uses_tools": True, "steps": 2, "stop": Stop.NO_TOOL_CALL, **facts}


@pytest.mark.parametrize(
    ("attempts", "last", "words"),
    [
        ([silent()] * 2, False, ""),
        ([silent()] * 3, False, "in the first 3 attempts, and none as text either"),
        ([silent()], True, "in the first attempt, and none as text either"),
        ([silent(calls_written=1)], False, ""),
        ([silent(calls_written=4), silent(calls_written=2)], False, "in the first 2 attempts, though the model wrote 6 as text"),
        ([silent(calls_written=4), silent()], False, ""),
        ([], True, ""),
        ([*[silent()] * 3, silent(calls_native=1)], True, ""),
        ([silent(calls_malformed=1), *[silent()] * 3], True, ""),
        ([silent(tool_calls=ToolCallMode.LENIENT)] * 3, True, ""),
        ([silent(uses_tools=False)] * 3, True, ""),
        ([silent(steps=0)] * 3, True, ""),
        ([silent(stop=Stop.CONTEXT_OVERFLOW)] * 3, True, ""),
    ],
)  # fmt: skip
def test_when_the_first_attempts_speak_against_the_server(
    attempts: Sequence[dict[str, Any]], last: bool, words: str, tmp_path: Path
) -> None:
    found = ToolCallEvidence()
    for key, facts in zip(KEYS, attempts, strict=False):
        found.add(key, record(key, **facts))
    said = found.complaint(tmp_path, KEYS, last=last)
    assert said.partition(": ")[0] == (f"no tool call came through {words}" if words else "")


def test_a_tally_shows_nothing_before_anything_happened() -> None:
    tally = Tally()
    assert (tally.calibrations, tally.calibrated, tally.paused(), tally.preparing, tally.suspended) == (
        0,
        0,
        0,
        "",
        "",
    )
    tally.began(KEYS[0])
    assert tally.under_way[KEYS[0]].steps == 0


def test_images_are_those_of_the_manifest_and_else_of_the_first_attempt_that_names_one(
    tmp_path: Path,
) -> None:
    run = write_run(tmp_path / "run", lambda _key: None, tasks=5)
    facts = json.loads((run / "manifest.json").read_bytes())
    for task in facts["tasks"]:
        task["image"] = f"image-{task['id']}"
    manifest = Manifest.model_validate(facts | {"images": {"image-t0": "image sha256:1"}})
    keys = [key for key in manifest.frozen_keys() if key.scaffold == "bash"]
    again = keys[2].model_copy(update={"scaffold": "edit"})
    other = DIGEST.replace("a", "b")
    write(run, record(keys[0], image_source=f"x@{DIGEST}"), keys[0])
    write(run, record(keys[1], image_source="sha256:built-here"), keys[1])
    write(run, record(keys[2], image_source=f"x@{DIGEST}"), keys[2])
    write(run, record(again, image_source=f"x@{other}"), again)
    write(run, DAMAGED, keys[3])
    assert known_images(run, manifest) == {"image-t0": "image sha256:1", "image-t2": DIGEST}
    known = manifest.model_copy(update={"images": {f"image-t{n}": DIGEST for n in range(5)}})
    assert known_images(run, known) == known.images


def test_a_name_is_pinned_to_a_digest_and_a_digest_stays_what_it_is() -> None:
    task = make_task("one")
    assert (digest_in(f"a/b@{DIGEST}"), digest_in(DIGEST), digest_in("a@sha256:1")) == (DIGEST, "", "")
    assert pin(task.image, DIGEST).digest == DIGEST
    assert pin(task.image, "image sha256:1") == pin(task.image, "") == task.image
    named = ImageSpec(reference=f"a@{DIGEST}")
    assert pin(named, DIGEST.replace("a", "b")) == named
    first, second = pinned([task, make_task("two")], {task.image.reference: DIGEST})
    assert (first.image.digest, second.image.digest) == (DIGEST, DIGEST), "of one name"
    assert pinned([task], {"another": DIGEST}) == [task]


def manifest_of(tasks: Sequence[Task], *, excluded: Mapping[str, str] = {}, **plan: Any) -> Manifest:
    chosen = RunPlan.model_validate({"scaffolds": ["nop"], **plan})
    return compose(chosen, list(tasks), run_id="r", server=None, base_image=None, excluded=dict(excluded))


def test_a_look_at_all_tasks_that_count_is_before_those_that_do_not() -> None:
    tasks = [make_task(name) for name in "abcd"]
    plan: dict[str, Any] = {"looks": [1, 2], "attempts": 2}
    made = manifest_of(tasks, excluded={"b": "flaky", "d": "flaky", "z": "not of this run"}, **plan)
    assert made.excluded == {"b": "flaky", "d": "flaky"}
    order = ["a", "a", "b", "c", "b", "c", "d", "d"]
    assert [key.task_id for key in made.frozen_keys()] == order
    assert [key.task_id for key in made.counted_keys()] == ["a", "a", "c", "c"]
    assert (made.schema_version, made.model_name, made.scaffold_names) == (1, "none", ("nop",))


@pytest.mark.parametrize(
    ("leave_out", "network", "left_out"),
    [(True, False, True), (True, True, False), (False, False, False), (False, True, False)],
)
def test_tasks_that_need_a_network_are_left_out_where_that_is_asked_and_there_is_none(
    leave_out: bool, network: bool, left_out: bool
) -> None:
    name = next(iter(network_dependent()))
    grading = {"leave_out_network_tasks": leave_out, "network": network}
    assert list(manifest_of([make_task(name), make_task("b")], grading=grading).excluded) == [name] * left_out


def machine_task(**facts: Any) -> Task:
    verifier = Verifier(directory=Path("/none"), digest="d", seconds=90, **facts)
    brief = MachineBrief(
        task_id="t",
        repo="r",
        problem_statement="p",
        workdir="/app",
        skills=Skills(places=("/root/.skills", "/a b"), withheld=True),
    )
    return Task(id="t", benchmark="b", image=ImageSpec(reference="i"), brief=brief, checks=verifier)


def test_a_task_about_a_machine_is_excluded_where_it_is_refused() -> None:
    assert manifest_of([machine_task()]).excluded == {}
    assert manifest_of([machine_task(refused="wants a GPU")]).excluded == {"t": "wants a GPU"}


def test_a_setting_that_changed_is_shown_whole_up_to_80_characters(tmp_path: Path) -> None:
    before = manifest_of([make_task("a")], claim="c" * 78, margin=5)
    (change,) = (
        how for _, how in differences(before, manifest_of([make_task("a")], claim="c" * 79, margin=5))
    )
    assert change == f'`claim` was "{"c" * 78}", now it is "{"c" * 76}…'
    run = tmp_path / "new" / "run"
    assert begin_or_resume(run, before) == begin_or_resume(run, before) == before
    with pytest.raises(UserError, match=r"was started with other settings: `margin` was 5.0, now it is 6.0"):
        begin_or_resume(run, manifest_of([make_task("a")], claim="c" * 78, margin=6))


def test_the_verdicts_of_a_run_that_others_made_are_theirs_unless_it_says_otherwise() -> None:
    theirs = manifest_of([make_task("a")], scaffolds=["their agent"]).model_copy(
        update={"made_elsewhere": Elsewhere(source="file", model="big-1")}
    )
    assert theirs.made_elsewhere
    assert theirs.made_elsewhere.judged
    assert (theirs.model_name, theirs.scaffold_names, theirs.conditions) == ("big-1", ("their agent",), ())


class Changed(PlainSandbox):
    """A machine with as many changes as a test wants."""

    def __init__(self, *changed: str) -> None:
        super().__init__()
        self.changed = changed

    def keep(self, name: str, labels: Mapping[str, str]) -> MachineState:
        return MachineState("sha256:1", self.changed)


def test_of_what_changed_on_a_machine_four_mebibytes_are_kept(tmp_path: Path) -> None:
    kept = keep_state(Changed(*["added /" + "x" * 1016] * 4097), tmp_path, "r")
    text = (tmp_path / CHANGES).read_bytes()
    assert (len(text), kept.changed) == (4 * 1024 * 1024, 4097)
    keep_state(Changed(*["added /" + "x" * 1016] * 4096), tmp_path, "r")
    assert (tmp_path / CHANGES).read_bytes() == text


def test_what_a_machine_was_prepared_with_is_flagged_by_the_first_path_and_their_number(
    tmp_path: Path,
) -> None:
    long = "/usr/lib/python3/dist-packages/pytest/" + "x" * 200
    (tmp_path / CHANGES).write_text(f"changed {long}\nadded /bin/sh\nadded /tests/a\nadded /app/ok\n")
    found = [(flag.kind, flag.detail, flag.count) for flag in flags_of_state(tmp_path)]
    assert found == [(FlagKind.REPLACES_RUNNER, long[:120], 2), (FlagKind.TOUCHES_TESTS, "/tests/a", 1)]
    verify_shared(Verifying(), machine_task(), "kit", tmp_path)
    first, *rest = flags_of_state(tmp_path)
    assert (first.kind, [(one.kind, one.detail, one.count) for one in rest]) == (
        FlagKind.SHARED_VERIFIER,
        found,
    )


class Verifying(PlainSandbox):
    def verify(self, verifier: Verifier, collect: Sequence[str]) -> VerifierResult:
        assert (verifier, TEXT in collect) == (machine_task().verifier, True)
        return VerifierResult(0, False, b"said", 4, {TEXT: Left(b"1")}, 2.0)


def test_what_a_verifier_said_in_the_agents_own_machine_is_kept_as_that(tmp_path: Path) -> None:
    verify_shared(Verifying(), machine_task(), "kit", tmp_path)
    kept = KeptVerification.load(tmp_path)
    assert kept
    assert (kept.facts.shared, kept.facts.key) == (True, shared_key(machine_task(), "kit"))
    assert (kept.facts.kit, kept.log, kept.left) == ("kit", b"said", {TEXT: Left(b"1")})


def test_skills_are_taken_off_the_machine_where_they_are_withheld_and_there_are_some() -> None:
    said: list[tuple[str, float, str | None]] = []

    class Shell(PlainSandbox):
        code = 0

        def exec(self, command: str, *, timeout: float, cwd: str | None = None) -> ExecResult:
            said.append((command, timeout, cwd))
            return ExecResult("", self.code, False, 0, 0.0)

    def withheld(task: Task) -> list[tuple[str, float, str | None]]:
        said.clear()
        withhold_skills(task, Shell())
        return said

    task = machine_task()
    assert isinstance(task.brief, MachineBrief)
    assert withheld(task) == [("rm -rf -- /root/.skills '/a b'", 120.0, "/")]
    for skills in (Skills(places=("/x",)), Skills(withheld=True)):
        brief = task.brief.model_copy(update={"skills": skills})
        assert withheld(task.model_copy(update={"brief": brief})) == []
    assert withheld(make_task("one")) == []
    Shell.code = 1
    with pytest.raises(SandboxError, match="skills of t cannot be taken off"):
        withheld(task)


def test_a_subset_that_no_estimate_could_be_made_of_is_refused_before_a_run() -> None:
    drawn = draw_stratified("bundled", dict.fromkeys("abc", "r"), 2, 0)
    check_subset(drawn, "bundled")
    with pytest.raises(UserError, match="was drawn by design 'another', and this asclaimed has"):
        check_subset(drawn.model_copy(update={"design": "another"}), "bundled")
