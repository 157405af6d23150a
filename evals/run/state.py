"""The answer to a task about a machine: which paths changed, and the machine itself, kept as an image for its verifier.

Beside it, evidence for a reader: changed files that a verifier or its shell would run or read before any test. A state
is kept until `asclaimed cache prune` removes the image. What ran on the machine has ended: a task whose verifier wants a
service that the agent started cannot be judged so, and its own solution fails here, too (`asclaimed tasks check`).
"""

from __future__ import annotations

import hashlib
import re
import shlex
from pathlib import Path

from evals.record import Flag, FlagKind, KeptState
from evals.run.kept_verification import FACTS, KeptVerification, collected, shared_key
from tasks.backend import VerifyingSandbox
from tasks.disk import write_atomic
from tasks.sandbox import Sandbox, SandboxError
from tasks.task import MachineBrief, Task

CHANGES = "changes.txt"
"""In an attempt's directory: a path a line, with what became of it."""
MOST_BYTES = 4 << 20
WITHHOLD_SECONDS = 120.0
REPOSITORY = "asclaimed/state"
RUNNER = re.compile(
    r"\A(?:/(usr/)?bin/(bash|sh|dash|env|cat|echo|test|mkdir)|/etc/ld\.so\.preload|/(usr/)?lib\S*/(ld-linux\S*|libc\.so\.6)"
    r"|/(\.?pytest\.(ini|toml)|tox\.ini|setup\.cfg|pyproject\.toml|conftest\.py)|\S*/(site|user)customize\.py"
    r"|\S*/(site|dist)-packages/(_?pytest|pluggy|iniconfig)\S*|\S*/(site|dist)-packages/[^/]*\.pth)"
)
"""What stands between a verifier's script and the verdict of its tests, whatever the task is."""
VERIFIERS_OWN = re.compile(r"\A(?:/(tests|logs)(/\S*)?|\S*/\.local/bin/(env|uvx?))")
"""What the verifier brings itself: it is replaced, so it had no effect."""


def keep_state(sandbox: Sandbox, directory: Path, run: str) -> KeptState:
    """Stop the machine and keep it; `directory` is the attempt's. Raises `SandboxError`."""
    name = f"{REPOSITORY}:{hashlib.sha256(str(directory.absolute()).encode()).hexdigest()[:32]}"
    state = sandbox.keep(name, {"asclaimed.run": run})
    text = "".join(f"{line}\n" for line in map(one_line, state.changed)).encode()[:MOST_BYTES]
    write_atomic(directory / CHANGES, text)
    return KeptState(
        image=state.image,
        name=name,
        changed=len(state.changed),
        changes_sha256=hashlib.sha256(text).hexdigest(),
    )


def verify_shared(sandbox: Sandbox, task: Task, kit: str, directory: Path) -> None:
    """Run the task's verifier where its agent worked, and keep what came of it. Raises `SandboxError`, `TaskError`."""
    assert task.verifier
    assert isinstance(sandbox, VerifyingSandbox)
    result = sandbox.verify(task.verifier, collected(task.verifier))
    KeptVerification.of(shared_key(task, kit), kit, result, shared=True).save(directory)


def withhold_skills(task: Task, sandbox: Sandbox) -> None:
    """Take off the machine what this run's agents are not to have. Raises `SandboxError`."""
    brief = task.brief
    if isinstance(brief, MachineBrief) and brief.skills.withheld and brief.skills.places:
        done = sandbox.exec(f"rm -rf -- {shlex.join(brief.skills.places)}", timeout=WITHHOLD_SECONDS, cwd="/")
        if done.exit_code:
            raise SandboxError(f"the skills of {task.id} cannot be taken off its machine")


def one_line(change: str) -> str:
    """A path may hold anything."""
    return change.encode("utf-8", "backslashreplace").decode().encode("unicode_escape").decode()


def flags_of_state(directory: Path) -> tuple[Flag, ...]:
    lines = (directory / CHANGES).read_text(encoding="utf-8").split("\n")
    paths = [path for _, space, path in (line.partition(" ") for line in lines) if space]
    rules = (
        (FlagKind.REPLACES_RUNNER, "the machine's shell, C library or pytest", RUNNER),
        (FlagKind.TOUCHES_TESTS, "the verifier's own places", VERIFIERS_OWN),
    )
    found = ((kind, what, [path for path in paths if rule.fullmatch(path)]) for kind, what, rule in rules)
    shared = Flag(kind=FlagKind.SHARED_VERIFIER, what="verified in the agent's own machine")
    return (shared,) * (directory / FACTS).exists() + tuple(
        Flag(kind=kind, what=what, detail=met[0][:120], count=len(met)) for kind, what, met in found if met
    )
