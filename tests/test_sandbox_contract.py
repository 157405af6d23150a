"""What every sandbox must do, whatever it is made of; and what the Docker one must withstand.

Not covered here: what a patch holds (test_sandbox_patch.py) and what an image leaks (test_sandbox_leaks.py).
"""

from __future__ import annotations

import io
import os
import re
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tasks import supervisor
from tasks.docker.create import container_options
from tasks.docker.daemon import LABEL, client
from tasks.docker.delivery import create_supervised
from tasks.docker.images import sandbox_base
from tasks.docker.sandbox import DockerSandbox, open_sandbox
from tasks.docker.stream import Connection
from tasks.errors import TaskError
from tasks.sandbox import Limits, Sandbox, SandboxError, SandboxGone
from tests.fakes.local_sandbox import LocalSandbox
from tests.fakes.registry import tar_of

docker_only = pytest.mark.docker
Open = Callable[..., DockerSandbox]


@pytest.fixture(scope="module")
def base(docker_daemon: None) -> str:
    return sandbox_base().id


@pytest.fixture(scope="module", params=["local", pytest.param("docker", marks=pytest.mark.docker)])
def sandbox(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One of each kind for the whole module; commands and files must behave alike in both."""
    if request.param == "local":
        made: Sandbox = LocalSandbox(tmp_path_factory.mktemp("work"))
    else:
        made = open_sandbox(request.getfixturevalue("base"))
    with made:
        yield made


@pytest.fixture
def open_one(base: str) -> Iterator[Open]:
    """Opens Docker sandboxes and closes them after the test."""
    opened: list[DockerSandbox] = []

    def open_it(**options: object) -> DockerSandbox:
        opened.append(open_sandbox(base, **options))  # type: ignore[arg-type]
        return opened[-1]

    yield open_it
    for one in opened:
        one.close()


@pytest.fixture(scope="module")
def box(base: str) -> Iterator[DockerSandbox]:
    """Shared by the tests that leave it as they found it."""
    with open_sandbox(base) as made:
        yield made


@pytest.fixture
def fresh(open_one: Open) -> DockerSandbox:
    """For the tests that break it."""
    return open_one()


def others(box: DockerSandbox) -> list[str]:
    """Command lines in the container that are neither init, nor the supervisor's, nor this listing's own, and that stay.

    What a timeout has just ended may still be listed for a moment.
    """
    deadline = time.monotonic() + 2
    while (found := listed(box)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def listed(box: DockerSandbox) -> list[str]:
    listing = box.exec('ps -eo pid=,ppid=,comm=,args= | grep -v " $$ "', timeout=20).output.splitlines()
    ours = ("docker-init", "podman-init", "catatonit", "tini", "supervisor")
    alive = (line for line in listing if "<defunct>" not in line)  # init collects those when it gets to run
    return [line for line in alive if line.split()[2] not in ours]


# --- every sandbox -----------------------------------------------------------------------------------------------


def test_is_a_sandbox(sandbox: Sandbox) -> None:
    assert isinstance(sandbox, Sandbox)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("true", 0),
        ("exit 7", 7),
        ("kill -9 $$", 137),
        ("kill -TERM $$", 143),
        ("no-such-command", 127),
        ("exit 255", 255),
    ],
)
def test_exit_code_is_the_shells(sandbox: Sandbox, command: str, code: int) -> None:
    result = sandbox.exec(command, timeout=20)
    assert (result.exit_code, result.timed_out) == (code, False)


def test_output_is_both_streams_in_order(sandbox: Sandbox) -> None:
    result = sandbox.exec("echo one; echo two >&2; echo three", timeout=20)
    assert result.output == "one\ntwo\nthree\n"
    assert result.total_bytes == 14


def test_bytes_that_are_no_text_become_text(sandbox: Sandbox) -> None:
    result = sandbox.exec(r"printf 'a\xff\xc3\xa9\0b'", timeout=20)
    assert result.output == "a\ufffdé\0b"


def test_long_output_keeps_head_and_tail(sandbox: Sandbox) -> None:
    result = sandbox.exec("echo first; head -c 5000000 /dev/zero | tr '\\0' x; echo; echo last", timeout=60)
    assert result.total_bytes == 5_000_000 + 12
    assert result.output.startswith("first\n")
    assert result.output.endswith("last\n")


def test_stdin_is_closed_and_nothing_waits_for_a_person(sandbox: Sandbox) -> None:
    result = sandbox.exec('cat; read -r answer; echo "got:$answer"; test -t 0 || echo no tty', timeout=20)
    assert result.output == "got:\nno tty\n"


def test_commands_share_files_and_nothing_else(sandbox: Sandbox) -> None:
    sandbox.exec("cd /; export LEFT=over; umask 077; echo kept >file", timeout=20, cwd=None)
    result = sandbox.exec('echo "${LEFT-none}"; pwd; umask', timeout=20)
    lines = result.output.splitlines()
    assert (lines[0], lines[2]) == ("none", "0022")
    assert lines[1] != "/"


def test_runs_where_it_is_told(sandbox: Sandbox) -> None:
    assert sandbox.exec("pwd", timeout=20, cwd="/usr").output == "/usr\n"


def test_a_command_of_any_shape(sandbox: Sandbox) -> None:
    text = "é '\"\\ $x `y` \x01\x7f" * 4000
    result = sandbox.exec(f"cat <<'END' | wc -c\n{text}\nEND", timeout=60)
    assert int(result.output) == len(text.encode()) + 1


def test_a_timeout_is_a_result(sandbox: Sandbox) -> None:
    began = time.monotonic()
    result = sandbox.exec("echo before; sleep 100", timeout=1)
    assert (result.exit_code, result.timed_out) == (124, True)
    assert result.output == "before\n"
    assert time.monotonic() - began < 15
    assert sandbox.exec("echo alive", timeout=20).output == "alive\n"


@pytest.mark.parametrize("data", [b"", b"text\n", bytes(range(256)) * 3, b"\\0101\\n%s\r\n", b"x" * 700_001])
def test_what_is_written_is_read(sandbox: Sandbox, data: bytes) -> None:
    sandbox.write("deep/er/a file", data)
    assert sandbox.read("deep/er/a file") == data
    assert sandbox.exec("wc -c <'deep/er/a file'", timeout=20).output.strip() == str(len(data))


def test_writing_replaces(sandbox: Sandbox) -> None:
    sandbox.write("file", b"a long text")
    sandbox.write("file", b"short")
    assert sandbox.read("file") == b"short"


def test_reading_what_is_no_file(sandbox: Sandbox) -> None:
    sandbox.exec("mkdir directory", timeout=20)
    with pytest.raises(FileNotFoundError):
        sandbox.read("absent")
    with pytest.raises(IsADirectoryError):
        sandbox.read("directory")
    with pytest.raises(OSError, match="directory"):
        sandbox.write("directory", b"")


def test_the_patch_applies_to_the_start_state(sandbox: Sandbox) -> None:
    sandbox.exec("mkdir -p a; echo new >a/b; printf 'x\\0y' >bin", timeout=20)
    diff = sandbox.diff()
    assert diff.skipped == ()
    assert b"+++ b/a/b\n@@ -0,0 +1 @@\n+new\n" in diff.patch
    assert b"GIT binary patch" in diff.patch
    with pytest.raises(SandboxGone):
        sandbox.exec("true", timeout=5)
    assert not sandbox.facts().alive
    sandbox.close()
    sandbox.close()


@docker_only
def test_a_command_longer_than_one_argument_may_be(box: DockerSandbox) -> None:
    result = box.exec(f"cat <<'END' | wc -c\n{'x' * 1_000_000}\nEND", timeout=60)
    assert int(result.output) == 1_000_001


# --- the Docker sandbox: timeouts leave nothing behind -----------------------------------------------------------


@docker_only
@pytest.mark.parametrize(
    "command",
    [
        "trap '' TERM INT HUP; while :; do sleep 1; done",
        "setsid sleep 300 & sleep 300",
        "(setsid bash -c 'trap \"\" TERM; sleep 300 & sleep 300' &) ; sleep 300",
        "python3 -c 'import os,time\nif os.fork()==0:\n os.setsid()\n if os.fork()==0:\n  time.sleep(300)\n os._exit(0)\ntime.sleep(300)'",
        "kill -9 $PPID; sleep 300",
        "sleep 300 & kill -STOP $!; kill -STOP $$",
    ],
    ids=["ignores TERM", "setsid", "double fork", "python daemon", "kills its parent", "stopped"],
)
def test_a_timeout_leaves_no_process(box: DockerSandbox, command: str) -> None:
    result = box.exec(command, timeout=1)
    assert (result.timed_out, result.exit_code) == (True, 124)
    assert others(box) == []


@docker_only
def test_a_timeout_spares_what_was_there_before(fresh: DockerSandbox) -> None:
    fresh.exec("sleep 301 &", timeout=10)
    time.sleep(0.1)
    assert fresh.exec("sleep 302", timeout=0.5).timed_out
    assert len(others(fresh)) == 1


@docker_only
def test_a_fork_bomb_ends_with_its_command(open_one: Open) -> None:
    box = open_one(limits=Limits(pids=128))
    assert box.exec("bomb() { bomb | bomb & }; bomb; sleep 300", timeout=2).timed_out
    assert others(box) == []
    assert box.exec("echo alive", timeout=20).output == "alive\n"


@docker_only
def test_a_daemon_does_not_hold_the_call(fresh: DockerSandbox) -> None:
    began = time.monotonic()
    result = fresh.exec("(while :; do echo noise; sleep 0.05; done) & echo started $!", timeout=30)
    assert time.monotonic() - began < 10
    (daemon,) = re.findall(r"started (\d+)\n", result.output)
    time.sleep(0.3)
    assert fresh.exec(f"kill -9 {daemon}", timeout=20).exit_code == 0
    quiet = fresh.exec("sleep 0.2; echo end", timeout=20)
    assert quiet.output.endswith("end\n")
    assert quiet.output.count("noise") <= 1, "the kill found it, and nothing else prints"


@docker_only
def test_what_a_daemon_says_between_commands_is_dropped(box: DockerSandbox) -> None:
    box.exec("(sleep 0.3; echo late) &", timeout=20)
    time.sleep(0.8)
    assert box.exec("echo now", timeout=20).output == "now\n"


@docker_only
def test_a_nonblocking_pipe_stays_the_commands_own(box: DockerSandbox) -> None:
    command = "python3 -c 'import os,sys; os.set_blocking(1, False); sys.stdout.write(\"x\")'"
    assert box.exec(command, timeout=20).output == "x"
    assert box.exec("head -c 3000000 /dev/zero", timeout=20).total_bytes == 3_000_000


@docker_only
def test_commands_can_be_interrupted_and_have_their_own_session(box: DockerSandbox) -> None:
    assert box.exec("kill -INT $$; echo survived", timeout=20).exit_code == 130
    pids = box.exec("ps -o pid=,sid= -p $$", timeout=20).output.split()
    assert pids[0] == pids[1]


# --- memory, size, network, privileges ---------------------------------------------------------------------------


@docker_only
def test_300_megabytes_of_output_cost_no_memory(box: DockerSandbox) -> None:
    box.exec("yes | head -c 1M", timeout=60)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = box.exec("yes | head -c 300M", timeout=120)
    assert result.total_bytes == 300 << 20
    assert len(result.output) < 200_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


@docker_only
def test_out_of_memory_is_counted_by_the_kernel(open_one: Open) -> None:
    box = open_one(limits=Limits(memory=128 << 20))
    assert box.facts().oom_kills == 0
    result = box.exec("python3 -c 'x = bytearray(400 << 20)'; echo $?", timeout=60)
    assert result.output.splitlines()[-1] == "137"
    assert box.facts().oom_kills == 1
    box.diff()
    assert box.facts().oom_kills == 1


@docker_only
def test_out_of_memory_is_not_read_from_text(box: DockerSandbox) -> None:
    box.exec("echo 'Out of memory: Killed process 1'; exit 137", timeout=20)
    assert box.facts().oom_kills == 0


@docker_only
def test_there_is_no_network(box: DockerSandbox) -> None:
    command = (
        "python3 - <<'END'\nimport socket\nfor host in ('1.1.1.1', '172.17.0.1', '169.254.169.254', 'deb.debian.org'):\n"
        "    try: socket.create_connection((host, 80), 2); print('reached', host)\n    except OSError: print('none')\nEND\n"
        "ls /sys/class/net"
    )
    assert box.exec(command, timeout=30).output == "none\n" * 4 + "lo\n"


@docker_only
def test_privileges_are_few(box: DockerSandbox) -> None:
    status = box.exec("grep -E '^(CapBnd|CapEff|NoNewPrivs|Seccomp):' /proc/self/status", timeout=20).output
    facts = dict(line.split(":\t") for line in status.splitlines())
    allowed = sum(1 << bit for bit in (0, 1, 3, 4, 5, 6, 7))  # chown … setuid, as capability.h numbers them
    assert int(facts["CapBnd"], 16) == int(facts["CapEff"], 16) == allowed
    assert (facts["NoNewPrivs"], facts["Seccomp"]) == ("1", "2")
    assert box.exec("mount -t tmpfs none /mnt || mknod /dev/sda b 8 0", timeout=20).exit_code != 0
    assert "docker.sock" not in box.exec("cat /proc/mounts; ls /var/run /run", timeout=20).output


@docker_only
def test_nothing_of_the_host_is_inside(box: DockerSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASCLAIMED_CANARY", "b7a1-canary")
    seen = box.exec("env; cat /proc/*/environ /proc/*/cmdline | tr '\\0' '\\n'", timeout=20).output
    assert "b7a1-canary" not in seen
    assert os.uname().nodename not in seen.split()
    assert "PAGER=cat" in seen


@docker_only
def test_a_login_shells_environment_reaches_commands(base: str) -> None:
    with open_sandbox(base) as first:
        first.exec(
            "echo 'export FROM_PROFILE=yes; noisy() { echo called; }; echo NOISE; cat' >>/root/.bashrc",
            timeout=20,
        )
        image = client().containers.get(first.container_id).commit(repository="asclaimed/test", tag="login")
    try:
        with open_sandbox(str(image.id)) as second:
            assert second.exec('echo "$FROM_PROFILE"; noisy', timeout=20).output == "yes\ncalled\n"
    finally:
        client().images.remove(str(image.id), force=True)


SYSTEMS = "/usr/local/bin:/usr/bin:/bin"


@docker_only
@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        (f"PATH={SYSTEMS}", f"/opt/venv/bin:{SYSTEMS}:/opt/go"),
        (f"PATH=/conda/env:/conda:{SYSTEMS}", f"/conda/env:/conda:/opt/venv/bin:{SYSTEMS}:/opt/go"),
        (f'PATH={SYSTEMS}:/usr/games; PATH="$HOME/bin:$PATH"', f"/root/bin:/opt/venv/bin:{SYSTEMS}:/opt/go:/usr/games"),
        ('PATH="/first:$PATH"', f"/first:/opt/venv/bin:{SYSTEMS}:/opt/go:/usr/local/sbin:/usr/sbin:/sbin"),
        ("PATH=/only/mine", f"/only/mine:/opt/venv/bin:{SYSTEMS}:/opt/go"),
        ("PATH=", f"/opt/venv/bin:{SYSTEMS}:/opt/go"),
    ],
)  # fmt: skip
def test_the_images_own_path_outlives_its_profiles(base: str, profile: str, expected: str) -> None:
    """As `docker exec` has it: an image with a venv or with Go says so in PATH, which a system's profile sets anew."""
    container = client().containers.create(base, ["true"])
    try:
        container.put_archive("/", tar_of({"root/.bash_profile": f"{profile}\n".encode()}))
        path = f"ENV PATH=/opt/venv/bin:{SYSTEMS}:/opt/go"
        image = container.commit(repository="asclaimed/test", tag="path", changes=path)
    finally:
        container.remove()
    try:
        with open_sandbox(str(image.id)) as sandbox:
            seen = sandbox.exec('echo "$PATH"; env | grep -c ASCLAIMED', timeout=20).output
        assert seen == f"{expected}\n0\n"
    finally:
        client().images.remove(str(image.id), force=True)


# --- whose doing it was ------------------------------------------------------------------------------------------


@docker_only
@pytest.mark.parametrize(
    "command", ["pkill -9 supervisor", "kill -9 -1", "kill -TERM 1; pkill -9 -f supervisor; sleep 9"]
)
def test_an_agent_that_kills_its_machine_did_it_itself(fresh: DockerSandbox, command: str) -> None:
    fresh.exec("echo work >file", timeout=20)
    with pytest.raises(SandboxGone):
        fresh.exec(command, timeout=20)
    with pytest.raises(SandboxGone):
        fresh.exec("true", timeout=20)
    assert b"+work" in fresh.diff().patch


@docker_only
def test_an_agent_that_stops_the_supervisor_did_it_itself(
    fresh: DockerSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.docker.sandbox.GRACE_SECONDS", 2.0)
    with pytest.raises(SandboxGone):
        fresh.exec("kill -STOP -1", timeout=1)


def test_a_supervisor_that_is_kept_waiting_is_not_the_agents_doing(
    fresh: DockerSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.docker.sandbox.GRACE_SECONDS", 2.0)
    client().containers.get(fresh.container_id).pause()
    with pytest.raises(SandboxError, match="overloaded"):
        fresh.exec("true", timeout=1)
    client().containers.get(fresh.container_id).unpause()


def test_polite_signals_do_not_end_the_machine(fresh: DockerSandbox) -> None:
    fresh.exec("kill -TERM 1; pkill -TERM supervisor; pkill bash; pkill -HUP -f supervisor", timeout=20)
    assert fresh.exec("echo alive", timeout=20).output == "alive\n"


@docker_only
def test_a_container_killed_from_outside_is_nobodys_fault(fresh: DockerSandbox) -> None:
    client().containers.get(fresh.container_id).kill()
    with pytest.raises(SandboxError):
        fresh.exec("true", timeout=20)


@docker_only
def test_a_lost_working_directory_can_be_made_again(fresh: DockerSandbox) -> None:
    fresh.exec("rm -rf /testbed", timeout=20)
    assert (
        fresh.exec("mkdir /testbed; echo made", timeout=20).output
        == "[/testbed is gone: running in /]\nmade\n"
    )
    assert fresh.exec("pwd", timeout=20).output == "/testbed\n"


@docker_only
def test_an_absent_image_is_one_line() -> None:
    with pytest.raises(TaskError, match="asclaimed/absent"):
        open_sandbox("asclaimed/absent:1")


# --- several things at once --------------------------------------------------------------------------------------


@docker_only
def test_a_command_can_be_talked_to_while_others_run(box: DockerSandbox) -> None:
    talk = box.start('read -r name; echo "hello $name"; cat', timeout=60)
    assert box.exec("echo beside", timeout=20).output == "beside\n"
    talk.write(b"you\n")
    assert talk.output() == b"hello you\n"
    box.write("meanwhile", b"written")
    talk.write(b"rest")
    talk.close_input()
    assert talk.output() == b"rest"
    assert talk.wait().code == 0
    assert box.read("meanwhile") == b"written"


@docker_only
def test_a_command_that_was_begun_can_be_ended(box: DockerSandbox) -> None:
    talk = box.start("trap '' TERM; (setsid sleep 300 &); echo on; sleep 300", timeout=60)
    assert talk.output() == b"on\n"
    talk.kill()
    assert talk.wait().timed_out
    assert others(box) == []


@docker_only
def test_a_port_inside_is_answered_by_the_host_without_a_network(box: DockerSandbox) -> None:
    def answer(connection: Connection) -> None:
        request = io.BufferedReader(connection)
        connection.write(b"you said " + request.readline())

    box.forward(8012, answer)
    ask = (
        "python3 -c \"import socket; s = socket.create_connection(('127.0.0.1', 8012)); "
        "s.sendall(b'hi\\n'); print(s.makefile().read(), end='')\""
    )
    assert box.exec(f"{ask}; {ask}; ls /sys/class/net", timeout=30).output == "you said hi\n" * 2 + "lo\n"


@docker_only
def test_100_megabytes_both_ways(open_one: Open) -> None:
    box = open_one(limits=Limits(read=128 << 20))
    data = os.urandom(1 << 20) * 100
    box.write("large", data)
    assert box.read("large") == data


# --- images that lack things -------------------------------------------------------------------------------------


@contextmanager
def image_without(base: str, command: str) -> Iterator[str]:
    """The base image after `command`, for as long as the block."""
    with open_sandbox(base) as box:
        assert box.exec(command, timeout=60).exit_code == 0
        image = client().containers.get(box.container_id).commit(repository="asclaimed/test", tag="lacks")
    try:
        yield str(image.id)
    finally:
        client().images.remove(str(image.id), force=True)


@docker_only
def test_an_image_with_only_sh_is_enough(base: str) -> None:
    """As Alpine's: no bash, no Python, no git, no setsid; `ps` and `id` are not needed either."""
    lacking = "cd /usr/bin && rm -f python3* git setsid head mkdir ps id bash && ls -l sh"
    with image_without(base, lacking) as image, open_sandbox(image) as box:
        assert box.exec('echo "$0"; exit 3', timeout=20)[:2] == ("sh\n", 3)
        assert box.exec(f": {'x' * 200_000}; echo long", timeout=20).output == "long\n"
        assert box.exec("sleep 100", timeout=0.5).timed_out
        box.write("a/b", b"data")
        assert box.read("a/b") == b"data"


@docker_only
def test_an_image_without_a_shell_is_the_images_fault(base: str) -> None:
    lacking = "cd /usr/bin && rm -f sh dash; exec rm -f bash"
    with image_without(base, lacking) as image, pytest.raises(TaskError, match="no usable shell"):
        open_sandbox(image)


@docker_only
def test_a_bash_that_is_something_else_is_the_images_fault(base: str) -> None:
    fake = "cd /usr/bin && printf '#!/bin/sh\\nexit 7\\n' >other && chmod +x other && exec mv other bash"
    with image_without(base, fake) as image, pytest.raises(TaskError, match="no usable shell"):
        open_sandbox(image)


@docker_only
def test_a_user_who_is_not_root(open_one: Open) -> None:
    box = open_one(user="nobody", workdir="/tmp")
    assert box.exec("id -un", timeout=20).output == "nobody\n"
    box.write("mine", b"1")
    assert box.exec("stat -c %U mine", timeout=20).output == "nobody\n"
    with pytest.raises(OSError, match="denied"):
        box.write("/root/x", b"1")


@docker_only
def test_a_workdir_that_does_not_exist_is_made(open_one: Open) -> None:
    assert open_one(workdir="/not/there/yet").exec("pwd", timeout=20).output == "/not/there/yet\n"


@docker_only
def test_a_root_that_may_not_be_written_is_one_line(base: str) -> None:
    """No image can ask for it, but a Podman can make every container so."""
    options = container_options(Limits(), {"test": "read-only"}, "", network=False, environment={})
    with pytest.raises(SandboxError, match=r"^cannot prepare a container of .*read-only"):
        create_supervised(base, ["60", "/"], {**options, "entrypoint": [supervisor.PATH], "read_only": True})
    assert client().containers.list(all=True, filters={"label": f"{LABEL}test=read-only"}) == []


@docker_only
def test_commands_cannot_reach_the_channel(box: DockerSandbox) -> None:
    """The supervisor's own descriptors are closed to what it runs, even for root."""
    command = (
        "p=$(pgrep -x supervisor | head -n 1); echo x >/proc/$p/fd/4; cat /proc/$p/environ; ls /proc/$$/fd"
    )
    output = box.exec(command, timeout=20).output
    assert output.count("Permission denied") == 2
    assert output.split()[-4:-1] == ["0", "1", "2"] or output.split()[-3:] == ["0", "1", "2"]


@docker_only
def test_forged_frames_are_the_agents_doing(fresh: DockerSandbox) -> None:
    with pytest.raises(SandboxGone, match="no frame"):
        fresh.exec("head -c 1000 /dev/zero >/proc/1/fd/1; sleep 5", timeout=20)


# --- how quick ---------------------------------------------------------------------------------------------------


@docker_only
def test_a_command_is_far_cheaper_than_docker_exec(box: DockerSandbox) -> None:
    """The numbers themselves are `make bench`'s; the ratio holds on slow and busy machines too."""
    container = client().containers.get(box.container_id)

    def docker_exec() -> float:
        began = time.monotonic()
        container.exec_run(["bash", "-lc", "true"])
        return time.monotonic() - began

    theirs = statistics.median(docker_exec() for _ in range(15))
    assert statistics.median(box.exec("true", timeout=20).seconds for _ in range(60)) < theirs / 3
