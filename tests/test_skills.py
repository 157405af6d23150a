"""Skills that a task brings: who is told of them and where, and a run without them, named wherever it is compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals.claims.catalog import find
from evals.record import AttemptKey, Outcome
from evals.results.load import from_run_dir, from_run_dirs, labelled
from evals.run.conditions import Given, conditions
from evals.run.manifest import ScaffoldFacts, load
from evals.run.plan import RunPlan
from evals.run.plan_tasks import load_tasks
from evals.run.state import withhold_skills
from evals.verdict.compare import By, compare
from evals.verdict.protocol_match import match
from scaffolds.catalog import find as find_scaffold
from scaffolds.opening import Prompt, opening
from scaffolds.programs.program import Program
from scaffolds.submit import SubmitProtocol
from tasks import catalog
from tasks.errors import UserError
from tasks.task import MachineBrief, Skill, Skills, Task
from tests.fakes.local_sandbox import LocalSandbox
from tests.harbor_tasks import TASKS, write_task
from tests.programs_skills import ABOUT, asked, where_told
from tests.runs_on_disk import write_run

DOCKERFILE = """\
ARG BASE
FROM ${BASE}
WORKDIR /app
COPY skills /root/.claude/skills
COPY --chown=root ./skills/ /root/.agents/skills
COPY data /app/data
COPY skills ~/.qwen/skills
"""


def skilled(
    home: Path, dockerfile: str = DOCKERFILE, head: str = "name: tables\ndescription: How to\n  read tables"
) -> Path:
    directory = write_task(home, TASKS[0])
    (directory / "environment" / "Dockerfile").write_text(dockerfile)
    skill = directory / "environment" / "skills" / "tables"
    skill.mkdir(parents=True)
    (skill / "SKILL.md").write_text(f"---\n{head}\n---\n# Tables\n")
    return directory


def brief_of(tmp_path: Path, **files: str) -> MachineBrief:
    [task] = catalog.load(str(skilled(tmp_path / "own", **files)))
    assert isinstance(task.brief, MachineBrief)
    return task.brief


def test_skills_and_their_places_are_read_from_the_task(tmp_path: Path) -> None:
    skills = brief_of(tmp_path).skills
    assert skills.places == ("/root/.claude/skills", "/root/.agents/skills", "/root/.qwen/skills")
    assert skills.skills == (Skill(name="tables", description="How to read tables", folder="tables"),)


@pytest.mark.parametrize(
    ("head", "description"),
    [("name: tables\ndescription: read: this", "read: this"), ("description: x", "x"), ("", "")],
)
def test_a_head_that_is_no_yaml_is_read_as_agents_do(tmp_path: Path, head: str, description: str) -> None:
    [skill] = brief_of(tmp_path, head=head).skills.skills
    assert (skill.name, skill.description) == ("tables", description)


def test_skills_that_no_image_gets_are_none(tmp_path: Path) -> None:
    assert brief_of(tmp_path, dockerfile="ARG BASE\nFROM ${BASE}\n").skills == Skills()


def test_our_loops_are_told_of_them_and_not_where_they_are_withheld(tmp_path: Path) -> None:
    directory = skilled(tmp_path / "own")
    told = {}
    for skills in ("with", "without"):
        [task] = load_tasks(RunPlan.model_validate({"tasks": str(directory), "skills": skills}))
        told[skills] = opening(Prompt.SHELL, task.brief, SubmitProtocol.TOOL).task
    assert "- tables (/root/.claude/skills/tables/SKILL.md): How to read tables" in told["with"]
    assert "skills" not in told["without"]
    hashes = {
        load_tasks(RunPlan.model_validate({"tasks": str(directory), "skills": s}))[0].content_hash
        for s in told
    }
    assert len(hashes) == 1


def test_a_program_finds_them_where_it_looks_or_is_told(tmp_path: Path) -> None:
    brief = brief_of(tmp_path)
    looks = Program(run="x", skills="$HOME/.x/skills")
    assert "tables" not in looks.told(brief)
    assert looks.skills_lines(brief) == [
        'mkdir -p "$(dirname "$HOME/.x/skills")" && rm -rf "$HOME/.x/skills" && cp -R /root/.claude/skills "$HOME/.x/skills"'
    ]
    is_told = Program(run="x")
    assert "- tables (" in is_told.told(brief)
    assert is_told.skills_lines(brief) == []
    assert "repository" not in is_told.told(brief)


def test_they_are_taken_off_the_machine(tmp_path: Path) -> None:
    place = tmp_path / "root" / ".x" / "skills"
    (place / "tables").mkdir(parents=True)
    skills = Skills(
        skills=(Skill(name="t", description="", folder="tables"),), places=(str(place),), withheld=True
    )
    [task] = catalog.load(str(write_task(tmp_path / "own", TASKS[0])))
    brief = task.brief.model_copy(update={"skills": skills})
    withhold_skills(task.model_copy(update={"brief": brief}), LocalSandbox(tmp_path))
    assert not place.exists()
    assert place.parent.exists()


def test_without_skills_is_a_point_of_the_protocol() -> None:
    plan = RunPlan(skills="without")
    found = {one.name: one for one in conditions(plan, [Given(skills=2), Given()], {})}
    assert (found["skills"].theirs, found["skills"].ours, found["skills"].same) == (
        "for 1 of 2 tasks",
        "without",
        False,
    )
    assert "skills" not in {one.name for one in conditions(RunPlan(), [Given()], {})}


def run_with(tmp_path: Path, skills: str) -> Path:
    """A run on tasks that bring skills."""

    def outcome(key: AttemptKey) -> Outcome:
        good = skills == "with" or key.task_id in ("t0", "t1")
        return Outcome.RESOLVED if good else Outcome.UNRESOLVED

    run = write_run(
        tmp_path / skills, outcome, tasks=6, benchmark="skillsbench", scaffolds=("bash",), skills=skills
    )
    facts = load(run)
    tasks = tuple(task.model_copy(update={"given": Given(skills=1)}) for task in facts.tasks)
    scaffolds = {"bash": ScaffoldFacts(source="family", sha256="s", factors={"agency": "loop"})}
    changed = facts.model_copy(update={"tasks": tasks, "scaffolds": scaffolds, "run_id": skills})
    (run / "manifest.json").write_text(changed.model_dump_json())
    return run


def test_compare_and_verify_name_it(tmp_path: Path) -> None:
    runs = [run_with(tmp_path, skills) for skills in ("with", "without")]
    [pair] = compare(labelled(runs), By.RUN).pairs
    assert pair.factors == ("skills: with → without",)
    results = from_run_dir(runs[1])
    points = {p.name: p for p in match(find("qwen3.6-27b/skillsbench"), results, results.systems[0])}
    assert points["skills"].measured == "without"
    with pytest.raises(UserError, match="with and without skills are two ways to work"):
        from_run_dirs(runs)


def test_a_task_without_skills_says_nothing_of_them(tmp_path: Path) -> None:
    task: Task = catalog.load(str(write_task(tmp_path / "own", TASKS[0])))[0]
    assert isinstance(task.brief, MachineBrief)
    assert task.brief.told_of() == ""


READER = """\
{skills}
run: |
  export MODEL TASK TOKEN BASE_URL
  python3 - <<'END'
  import json, os, pathlib, urllib.request
  found = [p.read_text() for p in pathlib.Path(os.environ["HOME"], ".x/skills").glob("*/SKILL.md")]
  asked = {{"model": os.environ["MODEL"], "messages": [{{"role": "system", "content": str(found)}}, {{"role": "user", "content": os.environ["TASK"]}}]}}
  head = {{"Authorization": "Bearer " + os.environ["TOKEN"], "Content-Type": "application/json"}}
  ask = urllib.request.Request(os.environ["BASE_URL"] + "/chat/completions", json.dumps(asked).encode(), head)
  urllib.request.urlopen(ask).read()
  END
"""


@pytest.mark.docker
@pytest.mark.parametrize("looks", [True, False])
def test_a_program_in_its_sandbox_has_a_tasks_skills_or_has_not(
    docker_daemon: None, tmp_path: Path, looks: bool
) -> None:
    """One that looks below its home finds them there, another one is told in its task; withheld, neither hears of any."""
    program = tmp_path / "reader.yaml"
    program.write_text(READER.format(skills="skills: $HOME/.x/skills" if looks else "about: is told"))
    one = find_scaffold(str(program))
    with_them, without = (asked(one, tmp_path / s, s, seconds=60) for s in ("with", "without"))
    system, user = (message["content"] for message in with_them[0]["messages"])
    assert (ABOUT in system, ABOUT in user) == (looks, not looks)
    assert where_told(without) == ""
    assert where_told(with_them) == "prompt"
