"""`asclaimed verify`, `plan` and `compare` on run directories, as a person uses them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evals.claims.catalog import find
from evals.commands.application import app
from evals.record import AttemptKey, Outcome
from evals.report import tables
from evals.results.load import from_run_dir, from_run_dirs
from evals.results.table import Drawn
from evals.serve.doctor.finding import Examination, Form, Measured, Throughput
from evals.verdict.plan import plan
from scaffolds.openai.probe import ServerFacts
from tasks.errors import UserError
from tests import command_line
from tests.runs_on_disk import write_run

CLAIM = "qwen3.6-27b/swe-bench-verified"


def half(key: AttemptKey) -> Outcome | None:
    """`bash` solves even tasks, `edit` all but the first."""
    number = int(key.task_id[1:])
    return Outcome.RESOLVED if (number % 2 if key.scaffold == "bash" else number) else Outcome.UNRESOLVED


def asclaimed(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    if done.exception:
        raise done.exception
    return done.output


def refused(*words: object) -> str:
    """What a refusal says."""
    done = command_line.asclaimed(*words)
    assert done.returncode == 2
    return done.stderr


def test_a_run_directory_becomes_results(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", lambda k: None if k.task_id == "t3" else half(k), margin=5, sample=10)
    found = from_run_dir(run)
    assert (found.margin, found.drawn, found.planned) == (0.05, Drawn.SAMPLE, 10)
    assert {row.failure for row in found.rows if row.task == "t3"} == {"missing"}
    assert (found.protocol.temperature, found.protocol.top_p, found.protocol.context_window) == (
        1.0,
        0.95,
        200_000,
    )
    assert found.protocol.quantization == "Q4_K_M"
    assert found.tokens_per_second == pytest.approx(10)
    other = write_run(tmp_path / "other", half, margin=5, sample=10)
    assert {row.attempt for row in from_run_dirs([run, other]).rows} == {1, 2}


def test_a_run_counts_once(tmp_path: Path) -> None:
    """A copy under another name is the same run: its attempts would pass for repetitions."""
    run = write_run(tmp_path / "run", half, margin=5)
    copy = shutil.copytree(run, tmp_path / "copy")
    for command in (("verify", CLAIM), ("compare",), ("compare", "--by", "run")):
        with pytest.raises(UserError, match="the same run as"):
            asclaimed(command[0], *command[1:], run, copy)


def test_another_model_is_said(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", half, tasks=60, margin=5, sample=60)
    other = "qwen3-coder-480b/swe-bench-verified@500-turns"
    assert "say --same-model-as 'Qwen3.6-27B'" in asclaimed("verify", other, run)
    assert "→ UNDECIDED" in asclaimed("verify", other, run)
    assert "is called" not in asclaimed("verify", CLAIM, run)
    assert "→ NOT REPRODUCED" in asclaimed("verify", other, run, "--same-model-as", "qwen3.6-27b")


def test_verify_prints_a_verdict_for_each_scaffold(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", half, tasks=60, margin=5, sample=60)
    text = asclaimed("verify", CLAIM, run)
    assert "as claimed 77.2 %   as measured 50.0 %   → NOT REPRODUCED UNDER THIS PROTOCOL" in text
    assert "≠  not" not in text
    assert "quantization" in text
    (only,) = json.loads(asclaimed("verify", CLAIM, run, "--scaffold", "edit", "--json"))
    assert only["measured"] == pytest.approx(100 * 59 / 60, abs=0.001)
    assert only["margin_fixed_before"]


def one_worse(key: AttemptKey) -> Outcome:
    return Outcome.UNRESOLVED if (key.scaffold, key.task_id) == ("bash", "t1") else Outcome.RESOLVED


def test_compare_prints_pairs(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", half, tasks=20)
    assert "better at 0, worse at 9 tasks" in asclaimed("compare", run)
    found = json.loads(asclaimed("compare", run, "--json"))
    assert found["pairs"][0]["difference"] == pytest.approx(-45)
    assert "2 repositories stand for all" in asclaimed("compare", run, "--estimand", "like-these")
    alone = asclaimed("compare", write_run(tmp_path / "alone", one_worse, tasks=2))
    for words in ("1 model × 2 scaffolds × 2 tasks", "worse at 1 task,", "(2 tasks)"):
        assert words in alone


def test_runs_of_one_system_are_told_apart_by_run(tmp_path: Path) -> None:
    first = write_run(tmp_path / "q4", half, tasks=20, scaffolds=("bash",))
    second = write_run(tmp_path / "q8", lambda key: Outcome.RESOLVED, tasks=20, scaffolds=("bash",))
    with pytest.raises(UserError, match=r"try --by run or --by all$"):
        asclaimed("compare", first, second)
    (pair,) = json.loads(asclaimed("compare", first, second, "--by", "run", "--json"))["pairs"]
    assert (pair["first"], pair["second"], pair["difference"]) == ("q4 / bash", "q8 / bash", -50)
    with pytest.raises(UserError, match="same name"):
        asclaimed("compare", first, first, "--by", "run")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("verify", CLAIM, "RUN", "--scaffold", "none"), "no scaffold"),
        (("verify", CLAIM, "RUN", "--estimand", "x"), "choose from fixed"),
        (("verify", CLAIM, "RUN"), "no margin"),
        (("verify", CLAIM, "NOWHERE"), "not a run directory"),
        (("compare", "RUN", "--by", "moon"), "choose from scaffold"),
        (("compare", "RUN", "--estimand", "moon"), "choose from fixed"),
        (("compare", "RUN", "--by", "model"), "no two systems"),
        (("plan", CLAIM, "--margin", "0"), "margin lies"),
        (("plan", "qwen3.6-27b/chatbot-arena-elo@press"), "no percentage"),
    ],
)
def test_mistakes_are_answered_in_one_line(tmp_path: Path, words: tuple[str, ...], complaint: str) -> None:
    run = write_run(tmp_path / "run", half)
    paths = {"RUN": str(run), "NOWHERE": str(tmp_path)}
    with pytest.raises(UserError, match=complaint) as caught:
        asclaimed(*(paths.get(word, word) for word in words))
    assert "\n" not in str(caught.value)


def test_plan_says_what_it_takes(tmp_path: Path) -> None:
    text = asclaimed("plan", CLAIM, "--margin", 8, "--tokens-per-s", 60)
    assert "is it the same? run a subset of 150 tasks × 1 attempt, about 17.4 hours" in text
    assert "is it at least 69.2 %? run a subset of 100 tasks" in text
    assert "asclaimed subset swebench-verified --n 150 --near 77.2 --seed 0 --json > subset.json" in text
    assert "--subset subset.json --looks 30,60,90,120" in text
    assert "--scaffold edit" in text  # the claim's is "bash and file-edit tools"
    unfitted = asclaimed("plan", "qwen3.6-27b/swe-bench-multilingual", "--margin", 8)
    assert "tasks × 1 attempt:" in unfitted
    assert "--subset" not in unfitted
    assert "no number of attempts" in asclaimed("plan", CLAIM, "--margin", 2)
    run = write_run(tmp_path / "run", half, tasks=30, scaffolds=("bash",), attempts=2)
    found = json.loads(asclaimed("plan", CLAIM, "--margin", 8, "--pilot", run, "--json"))
    assert found["noise"].startswith("measured on 30 tasks")
    chosen = found["chosen"]
    assert chosen["tokens"] == 100 * chosen["tasks"] * chosen["attempts"]
    assert chosen["hours"] == pytest.approx(chosen["tokens"] / 10 / 3600, abs=0.1)


def test_plan_says_the_hours_of_the_server_that_doctor_looked_at(tmp_path: Path) -> None:
    """A known case: 6,000 tokens a second read and 700 written are 8.1 h for 100 tasks without a cache, 1.5 h with one."""
    facts = ServerFacts(base_url="http://gpu:8000/v1", dialect="vllm", models=("m",))
    levels = tuple(
        Throughput(at_once=n, tokens_per_second=rate, first_token=1) for n, rate in ((8, 400), (16, 700))
    )
    measured = Measured(prefill=6000, throughput=levels, hit_share=0.0)
    file = tmp_path / "server.json"

    def look(found: Measured) -> None:
        examination = Examination(form=Form.FULL, server=facts, findings=(), measured=found, seconds=50)
        file.write_text(examination.model_dump_json())

    look(measured)
    found = json.loads(asclaimed("plan", CLAIM, "--margin", 8, "--doctor", file, "--json"))
    assert [100 * found["pace"][name] for name in ("hours", "cached")] == pytest.approx([8.1, 1.5], abs=0.1)
    more = 60 * (1000 - 400) / 700 / 3600
    assert found["pace"]["thinking"] - found["pace"]["hours"] == pytest.approx(more, rel=1e-3), "60 steps"
    chosen, whole = found["chosen"], found["options"][-1]
    for way in (chosen, whole):
        assert way["hours"] == pytest.approx(way["tasks"] * way["attempts"] * 0.081, rel=0.01)
    text = asclaimed("plan", CLAIM, "--margin", 8, "--doctor", file)
    assert "a prefix cache that hits 95 % (here 0%) would save" in text
    assert "the subset saves" in text
    assert "writes 700 at 16 at once" in text
    look(measured.model_copy(update={"hit_share": 0.97}))
    assert "would save" not in asclaimed("plan", CLAIM, "--margin", 8, "--doctor", file)
    look(Measured(prefill=6000))
    with pytest.raises(UserError, match="has no speeds"):
        asclaimed("plan", CLAIM, "--doctor", file)
    file.write_text("{}")
    with pytest.raises(UserError, match="is not what `asclaimed doctor"):
        asclaimed("plan", CLAIM, "--doctor", file)


def test_more_power_takes_more() -> None:
    claim = find(CLAIM)
    little, much = (plan(claim, margin=0.06, power=power).chosen for power in (0.5, 0.95))
    assert little is not None
    assert much is not None
    assert little.tasks * little.attempts < much.tasks * much.attempts
    assert much.power >= 0.95


def test_results_from_elsewhere_on_a_subset_get_a_verdict(tmp_path: Path) -> None:
    """A list of what was resolved, of 100 drawn tasks: verified against the claim on all 500."""
    subset = tmp_path / "subset.json"
    subset.write_text(asclaimed("subset", "swebench-verified", "--n", 100, "--near", 77.2, "--json"))
    drawn = [task["id"] for task in json.loads(subset.read_text())["tasks"]]
    listed = tmp_path / "theirs.json"
    listed.write_text(json.dumps({"somebody": drawn[:60]}))
    run = tmp_path / "theirs"
    asclaimed("import", "resolved", listed, "--out", run, "--subset", subset, "--model", "Qwen3.6-27B")
    (verdict,) = json.loads(asclaimed("verify", CLAIM, run, "--margin", 8, "--json"))
    assert verdict["bounds"][0]["tasks"] == 100
    assert "estimates for the whole benchmark" in " ".join(verdict["limits"])
    assert not verdict["carried"]


def test_an_import_refuses_a_subset_that_no_verdict_could_read(tmp_path: Path) -> None:
    good = json.loads(asclaimed("subset", "swebench-verified", "--n", 50, "--json"))
    drawn = [task["id"] for task in good["tasks"]]
    subset, listed = tmp_path / "subset.json", tmp_path / "theirs.json"
    listed.write_text(json.dumps({"somebody": [*drawn[:30], "django__django-99999"]}))
    command = ("import", "resolved", listed, "--subset", subset, "--model", "m", "--out", tmp_path / "run")
    foreign = [{**good["tasks"][0], "id": "foo__bar-1"}, *good["tasks"][1:]]
    for wrong, why in (
        ({"tasks": foreign}, "'foo__bar-1' of the subset is no task of swebench-verified"),
        ({"design": "irt/9:0"}, "draw it again"),
        ({"benchmark": "swebench-pro"}, "draw it again"),
        ({"benchmark_size": 600}, "has 600 tasks, and it has 500"),
    ):
        subset.write_text(json.dumps(good | wrong))
        assert why in refused(*command)
    subset.write_text(json.dumps(good))
    assert "drawn from swebench-verified" in refused(*command, "--benchmark", "swebench-pro")
    assert not (tmp_path / "run").exists()
    assert "django__django-99999: not a task of the subset" in command_line.asclaimed(*command).stderr


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "inf"])
def test_a_speed_that_is_none_gives_no_hours(speed: str) -> None:
    assert "--tokens-per-s" in refused("plan", CLAIM, "--tokens-per-s", speed)


def test_a_run_without_a_task_gets_no_verdict(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", half)
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps(manifest | {"tasks": []}))
    assert "not one task" in refused("verify", CLAIM, run, "--margin", 5)
    assert "not one task" in refused("plan", CLAIM, "--pilot", run)


def test_estimate_warns_once(tmp_path: Path) -> None:
    subset, results = tmp_path / "subset.json", tmp_path / "results.json"
    subset.write_text(asclaimed("subset", "swebench-verified", "--n", 50, "--json"))
    ids = json.loads((Path(tables.__file__).parents[1] / "stats/data/swebench_verified.json").read_text())[
        "ids"
    ]
    results.write_text(json.dumps({f"system {n}": ids for n in range(5)}))
    text = asclaimed("estimate", "--subset", subset, "--results", results)
    assert text.count("outside the subset") == 1
    assert "and 4 more results" in text


def test_the_report_says_to_retry_first_what_was_not_judged(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", half, tasks=6, scaffolds=("bash",))
    (run / "ledger.jsonl").touch()
    grade = run / "bash" / "t2" / "1" / "grade.json"
    found = json.loads(grade.read_text())
    grade.write_text(json.dumps(found | {"outcome": "not_judged", "party": "sandbox"}))
    text = " ".join(json.loads(asclaimed("report", run, "--json"))["findings"])
    assert "retry 1 attempt first that was not judged" in text
    assert "--retry-unjudged" in text


def test_a_pilot_with_several_scaffolds_is_asked_for_one(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", half, margin=5, attempts=2)
    with pytest.raises(UserError, match="choose one with --scaffold: bash, edit"):
        asclaimed("plan", CLAIM, "--pilot", run)
    assert "attempts" in asclaimed("plan", CLAIM, "--pilot", run, "--scaffold", "edit")


def test_a_second_attempt_at_some_tasks_measures_the_noise(tmp_path: Path) -> None:
    """What `plan` proposes where nobody knows a benchmark's noise: two runs, of all tasks and of 60 of them."""
    mine = "m/bench"
    claims = tmp_path / "mine.yaml"
    claims.write_text(
        "maker: M\nsources: {s: {title: A card}}\nclaims:\n"
        f"  - {{id: {mine}, model: Qwen3.6-27B, benchmark: bench, n_tasks: 731, score: 58.4, source: s, status: verified}}\n"
    )
    text = asclaimed("plan", f"{claims}:{mine}", "--margin", 5)
    assert "is it the same? run 731 tasks × 2 attempts" in text
    assert "731 tasks × 1 attempt, and a second at 60 of them, which measures it" in text
    known = json.loads(asclaimed("plan", CLAIM, "--margin", 5, "--json"))
    assert known["partly"]["repeated"] == 60, "public pairs show less noise than a verdict has to reckon with"

    def ran(name: str, tasks: int, **more: object) -> Path:
        def solved(key: AttemptKey) -> Outcome | None:
            return Outcome.RESOLVED if int(key.task_id[1:]) % 100 < 54 else Outcome.UNRESOLVED

        return write_run(
            tmp_path / name, solved, tasks=tasks, benchmark="bench", scaffolds=("bash",), margin=5, **more
        )

    both = [ran("whole", 731), ran("again", 60, sample=60)]
    merged = from_run_dirs(both)
    assert (merged.drawn, merged.planned) == (Drawn.WHOLE, 731)
    (once,) = json.loads(asclaimed("verify", f"{claims}:{mine}", both[0], "--json"))
    (twice,) = json.loads(asclaimed("verify", f"{claims}:{mine}", *both, "--json"))
    assert "cautious prior" in once["basis"][0]
    assert "measured on 60 tasks" in twice["basis"][0]
    assert (once["decision"], twice["decision"]) == ("undecided", "reproduced")
