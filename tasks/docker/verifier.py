"""One run of a task's own verifier in a fresh container of a state that an agent left; without a network.

Nothing of that state is needed to start it: the container's main process and the one that starts the script are the
kit's. `/tests` and `/logs` are new volumes, whatever lay there. Files are read back through the daemon when nothing runs
in the container any more, so nothing that the tests left behind can write a reward afterwards. What tested code does
while the tests run it can do to their results as well: not covered.

`verify_running` is for tasks that want what the agent left running: the same in the agent's own container, which it may
have prepared for that. What comes of it is marked, and counts less.
"""

from __future__ import annotations

import io
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from docker.errors import APIError, NotFound
from docker.models.containers import Container
from docker.types import Mount

from tasks.backend import Left, TestLimits, VerifierResult, VerifierRun
from tasks.docker.create import container_options, create, image_config
from tasks.docker.daemon import daemon_errors, disk_is_full, remove
from tasks.docker.endpoint import one_line
from tasks.docker.exec import Exec, check_own_doing
from tasks.docker.kit import PLACE, PYTHON, kit, mount
from tasks.docker.oom import OomWatch
from tasks.docker.stalls import stalls
from tasks.docker.start_state import archive
from tasks.docker.state import stop
from tasks.docker.watch import Watch, watch
from tasks.errors import TaskError
from tasks.harbor.directory import digest, files
from tasks.sandbox import SandboxError
from tasks.task import Verifier

TESTS, LOGS, SCRIPT = "/tests", "/logs", "/tests/test.sh"
FOLDERS = ("logs/verifier", "logs/agent", "logs/artifacts")
USUAL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
FILE_BYTES = 16 << 20
"""The largest file that is read back."""
STARTS = 3
CLEAR_SECONDS = 120.0
CLEAR = """\
import os, shutil, sys
os.write(1, sys.argv[1].encode())
for place in ("/tests", "/logs"):
    if os.path.islink(place) or os.path.isfile(place):
        os.remove(place)
    else:
        shutil.rmtree(place, ignore_errors=True)
"""
"""What an agent put where its verifier's files go is not the verifier's."""
ENDED = "the machine had ended by itself before it could be verified"
ENVIRONMENT = {
    "HOME": "/root",
    "DEBIAN_FRONTEND": "noninteractive",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_RETRIES": "0",
}

NO_VARIABLES: Mapping[str, str] = MappingProxyType({})


class DoesNotStart(Exception):  # noqa: N818 - what happened
    """The daemon answers, and starts no container of this state."""


def verify(run: VerifierRun) -> VerifierResult:
    """See `tasks.backend.Backend.verify`."""
    for _ in range(STARTS):
        try:
            return verify_once(run)
        except DoesNotStart as error:
            words = str(error)
            time.sleep(1)
    return VerifierResult(None, False, words.encode(), len(words), {}, 0.0, starts=False)


def verify_once(run: VerifierRun) -> VerifierResult:
    """Raises `DoesNotStart` besides."""
    began = time.monotonic()
    stalls()
    with started(run) as (container, watching, ooms):
        return judged(container, run, watching, ooms, began)


def verify_running(
    container: Container,
    workdir: str,
    verifier: Verifier,
    collect: Sequence[str],
    watching: Watch,
    ooms: OomWatch,
) -> VerifierResult:
    """In the agent's own container, where what it started still runs; the kit is mounted there. Ends with the container."""
    began = time.monotonic()
    run = VerifierRun(str(container.attrs["Image"]), workdir, verifier, tuple(collect), TestLimits())
    if not check_own_doing(container):
        return VerifierResult(None, False, ENDED.encode(), len(ENDED), {}, 0.0, starts=False)
    cleared = Exec(container, lambda marker: [*PYTHON, "-I", "-S", "-c", CLEAR, marker], "/", 1 << 16)
    cleared.finish(CLEAR_SECONDS)
    with daemon_errors("cannot deliver a verifier"), packed_tests(verifier) as tests:
        container.put_archive("/", tests)
    return judged(container, run, watching, ooms, began, environment(run.image, verifier))


def judged(
    container: Container,
    run: VerifierRun,
    watching: Watch,
    ooms: OomWatch,
    began: float,
    environment: Mapping[str, str] | None = None,
) -> VerifierResult:
    """Run the delivered script in a container, stop that, and read back what it left."""
    asked, seconds = time.monotonic(), run.verifier.seconds
    command = [*PYTHON, "-I", "-S", f"{PLACE}/lib/run.py"]
    script = Exec(
        container,
        lambda marker: [*command, marker, run.workdir, SCRIPT],
        "/",
        run.limits.log_bytes,
        environment,
    )
    code = finished(script, watching, seconds)
    if script.timed_out and not watching.crowds:
        stalls().check(asked, seconds, "the verifier ran")
    if ooms.by_the_host():
        raise SandboxError("this machine ran out of memory: its kernel killed in the verifier's container")
    kills = ooms.count()
    with daemon_errors("cannot stop a verifier's container"):
        stop(container)
    left = {path: found for path in run.collect if (found := read_back(container, path)) is not None}
    return VerifierResult(
        code,
        script.timed_out or bool(watching.reason),
        script.capture.contents(),
        script.capture.total,
        left,
        script.seconds,
        time.monotonic() - began - script.seconds,
        watching.reason,
        kills,
    )


def finished(script: Exec, watching: Watch, seconds: float) -> int | None:
    """The script's status; None after a timeout, its container's own death, or when the watch ended it."""
    try:
        return script.finish(seconds)
    except SandboxError:
        if not watching.reason:
            raise
        return None


@contextmanager
def started(run: VerifierRun) -> Iterator[tuple[Container, Watch, OomWatch]]:
    limits = run.limits.container.model_copy(update={"pids": min(run.limits.pids, run.limits.container.pids)})
    labels = {"purpose": "verifying", "run": run.run}
    given = environment(run.image, run.verifier, run.compose.environment)
    options = container_options(limits, labels, "0", False, given)
    fresh = [Mount(place, None, type="volume", no_copy=True) for place in (TESTS, LOGS)]
    life = run.verifier.seconds + 600
    options |= {"entrypoint": list(PYTHON), "mounts": [mount(kit(run.verifier.packages)), *fresh]}
    container = create(run.image, ["-I", "-S", "-c", f"import time; time.sleep({life:.0f})"], options)
    try:
        refuse_traps(container)
        with daemon_errors(f"cannot start a container of {run.image}"), packed_tests(run.verifier) as tests:
            try:
                container.put_archive("/", tests)
                container.start()
            except APIError as error:
                if disk_is_full(str(error.explanation)):
                    raise
                raise DoesNotStart(one_line(error.explanation)) from error
            container.reload()
        watching = watch(container, limits)
        try:
            yield container, watching, OomWatch(container)
        finally:
            watching.stop()
    finally:
        remove(container)


def refuse_traps(container: Container) -> None:
    """What the daemon itself reads of a container before it starts must be files: a pipe there would hold it for ever."""
    for path in ("/etc/passwd", "/etc/group"):
        found = read_back(container, path)
        if found and found.problem:
            raise DoesNotStart(f"{path} {found.problem}")


def environment(image: str, verifier: Verifier, own: Mapping[str, str] = NO_VARIABLES) -> dict[str, str]:
    """The image's, with the kit's programs before its own, and what the task says; `own` is of its machine."""
    of_image = dict(pair.partition("=")[::2] for pair in image_config(image).get("Env") or ())
    given = {**of_image, **own}
    home = {"HOME": given["HOME"]} if "HOME" in given else {}
    return {
        **ENVIRONMENT,
        **home,
        **own,
        **verifier.env,
        "PATH": f"{PLACE}/bin:{given.get('PATH') or USUAL_PATH}",
    }


@contextmanager
def packed_tests(verifier: Verifier) -> Iterator[Any]:
    """The task's `tests/` as they were when it was loaded. Raises `TaskError` when they are not the same any more."""
    if digest(verifier.directory) != verifier.digest:
        raise TaskError(f"{verifier.directory} was changed since it was loaded")
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w") as tar:
            for folder in FOLDERS:
                member = tarfile.TarInfo(folder)
                member.type, member.mode = tarfile.DIRTYPE, 0o777
                tar.addfile(member)
            for path in files(verifier.directory):
                if path.relative_to(verifier.directory).parts[0] == "tests":
                    add(tar, path, str(path.relative_to(verifier.directory)))
        file.seek(0)
        yield file


def add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mtime = path.stat().st_size, int(time.time())
    member.mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
    with path.open("rb") as content:
        tar.addfile(member, content)


def read_back(container: Container, path: str) -> Left | None:
    """What lies at a path of a stopped container; None for nothing. Never more than `FILE_BYTES`, and no link is followed."""
    with daemon_errors("cannot read a file back"):
        try:
            with archive(container, path) as (tar, _mode):
                return as_left(tar, tar.next())
        except NotFound:
            return None


def as_left(tar: tarfile.TarFile, member: tarfile.TarInfo | None) -> Left:
    if member is None or not member.isreg():
        kind = (
            "a link"
            if member and member.issym()
            else "a pipe"
            if member and member.isfifo()
            else "no regular file"
        )
        return Left(problem=f"is {kind}")
    if member.size > FILE_BYTES or member.issparse():
        return Left(problem=f"has {member.size} bytes, more than {FILE_BYTES}")
    content = tar.extractfile(member) or io.BytesIO()
    return Left(content.read())
