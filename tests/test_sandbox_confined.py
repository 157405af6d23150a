"""What a container sees of the machine it is on: nothing of what others read, and all that honest programs need."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files

import pytest

from tasks.sandbox import Sandbox

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("docker_daemon")]

CACHE = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
handle = os.open("/bin/bash", os.O_RDONLY)
place = libc.mmap(None, ctypes.c_size_t(4096), 1, 2, handle, ctypes.c_long(0))
pages = ctypes.create_string_buffer(1)
print(libc.mincore(ctypes.c_void_p(place), ctypes.c_size_t(4096), pages), libc.syscall(451, handle, None, None, 0))
try:
    os.preadv(handle, [bytearray(9)], 0, os.RWF_NOWAIT)
except OSError as error:
    print(os.strerror(error.errno))
print(os.preadv(handle, [bytearray(9)], 0))
"""
HONEST = """
import multiprocessing, os
print(os.cpu_count() > 0, os.sysconf("SC_PHYS_PAGES") > 0, len(os.getloadavg()), multiprocessing.Pool(2).map(abs, [-1]))
print(all(word in open(f"/proc/{name}").read() for name, word in [("stat", "btime"), ("meminfo", "MemTotal"), ("uptime", ".")]))
"""


@pytest.fixture(scope="module")
def sandbox(docker_daemon: None) -> Iterator[Sandbox]:
    from tasks.docker.sandbox import open_sandbox
    from tests.exploits.case import PURL
    from tests.exploits.engine import image_of

    with open_sandbox(image_of(PURL).id) as opened:
        yield opened


def python(sandbox: Sandbox, code: str) -> str:
    sandbox.write("/tmp/code.py", code.encode())
    return sandbox.exec("python3 /tmp/code.py", timeout=30).output


def test_the_page_cache_tells_nothing_and_reads_go_on(sandbox: Sandbox) -> None:
    assert python(sandbox, CACHE) == "-1 -1\nOperation not supported\n9\n"


def test_counters_of_the_machine_are_empty(sandbox: Sandbox) -> None:
    from tasks.docker.confine import COUNTERS

    assert sandbox.exec(f"cat {' '.join(COUNTERS)} 2>/dev/null | wc -c", timeout=20).output == "0\n"


def test_what_docker_hides_stays_hidden(sandbox: Sandbox) -> None:
    assert (
        sandbox.exec("cat /proc/timer_list /proc/keys /proc/kcore 2>/dev/null | wc -c", timeout=20).output
        == "0\n"
    )
    assert sandbox.exec("unshare -U true || echo 0 > /proc/sys/kernel/panic", timeout=20).exit_code != 0


def test_honest_programs_find_what_they_need(sandbox: Sandbox) -> None:
    assert python(sandbox, HONEST) == "True True 3 [1]\nTrue\n"
    assert sandbox.exec("ps aux && uptime && free", timeout=20).exit_code == 0


def test_tests_run_under_the_same_profile(docker_daemon: None) -> None:
    from tasks.backend import RunRequest, TestLimits
    from tasks.docker.testing import TestContainers
    from tests.exploits.case import PURL
    from tests.exploits.engine import image_of

    run = TestContainers(image_of(PURL).id, "/testbed", TestLimits(seconds=60))
    result = run(
        RunRequest(b"", {"/opt/code.py": CACHE.encode()}, "python3 /opt/code.py; wc -c < /proc/vmstat")
    )
    assert result.log == b"-1 -1\nOperation not supported\n9\n0\n"


def test_no_call_is_both_allowed_and_refused() -> None:
    rules = json.loads((files("tasks.docker") / "seccomp.json").read_text())["syscalls"]
    refused = {name for rule in rules if rule["action"] != "SCMP_ACT_ALLOW" for name in rule["names"]}
    allowed = {
        name
        for rule in rules
        if "args" not in rule and rule["action"] == "SCMP_ACT_ALLOW"
        for name in rule["names"]
    }
    assert len(allowed) > 300
    assert not refused & allowed


def test_a_profile_is_sent_to_daemons_that_take_one() -> None:
    from tasks.docker.confine import takes_profile

    info = {"SecurityOptions": ["name=apparmor", "name=seccomp,profile=default"]}
    assert takes_profile(info, {"Engine", "containerd"})
    assert not takes_profile(info, {"Podman Engine", "Conmon"})
    assert not takes_profile({"SecurityOptions": None}, {"Engine"})
