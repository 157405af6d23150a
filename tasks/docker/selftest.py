"""Whether a daemon does what runs need of it: tried out with one sandbox and one test run, a line for what fails.

Not covered: whether it still does so under load, and whether the images of a benchmark can be had.
"""

from __future__ import annotations

from collections.abc import Iterator

from tasks.backend import Progress, RunRequest, TestLimits, quiet
from tasks.docker.daemon import facts, parts
from tasks.docker.endpoint import one_line
from tasks.docker.images import sandbox_base
from tasks.docker.sandbox import open_sandbox
from tasks.docker.testing import TestContainers
from tasks.errors import MachineError, UserError
from tasks.sandbox import Limits, SandboxError, SandboxGone

WORKDIR = "/srv"  # there in any image of Debian's
LIMITS = Limits(memory=256 << 20, pids=64, allow_unlimited=True)
ADVICE = (
    "look for it in the daemon's log; to use another daemon, set DOCKER_HOST or `docker context use`; "
    "README.md lists the daemons that were tried"
)


def describe() -> str:
    """What the daemon says of itself, in one line."""
    info = facts()
    status = dict(info.get("DriverStatus") or ())
    disk = ", ".join(filter(None, [str(info.get("Driver", "?")), status.get("Backing Filesystem")]))
    security = ", ".join(
        str(option).removeprefix("name=").split(",")[0] for option in info.get("SecurityOptions") or ()
    )
    return (
        f"{parts()[0] if parts() else 'Docker'}, {disk}, cgroup v{info.get('CgroupVersion', '1')}, "
        f"{security or 'no security options'}, Linux {info.get('KernelVersion', '?')}"
    )


def try_out(progress: Progress = quiet) -> str:
    """`passed`, or what fails and what to do; makes the base image where it is not here, which takes minutes."""
    doing = "the base image"
    try:
        image = sandbox_base(progress).id
        for doing in steps(image):
            progress(f"trying out {doing}", None)
    except (SandboxError, SandboxGone, MachineError, UserError, OSError, AssertionError) as error:
        return f"{doing} FAILS: {one_line(error) or 'another result than it must have'}: {ADVICE}"
    return "passed: files get in and out, commands run, tests run"


def steps(image: str) -> Iterator[str]:
    """Yields each step's name before it is done."""
    yield "a sandbox"
    with open_sandbox(image, workdir=WORKDIR, limits=LIMITS) as box:
        yield "a command"
        assert box.exec("mkdir -p a; echo work >a/file; echo done", timeout=60).output == "done\n"
        yield "a file"
        box.write("a/other", bytes(range(256)))
        assert box.read("a/other") == bytes(range(256))
        yield "the patch of a sandbox"
        assert b"+work" in box.diff().patch
    yield "a test run"
    run = TestContainers(image, WORKDIR, TestLimits(seconds=60, apply_seconds=60, container=LIMITS))
    result = run(
        RunRequest(b"", {"/opt/file": b"delivered"}, "cat /opt/file | tee /opt/back; exit 3", ("/opt/back",))
    )
    assert (result.log, result.exit_code, result.collected) == (b"delivered", 3, {"/opt/back": b"delivered"})
