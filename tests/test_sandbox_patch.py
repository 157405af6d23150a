"""The patch of an attempt: whole, appliable, and deaf to everything that an agent can say to git."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.docker import patch as extraction
from tasks.docker.daemon import client
from tasks.docker.hostgit import quote
from tasks.docker.images import sandbox_base
from tasks.docker.patch import show, unsafe
from tasks.docker.sandbox import DockerSandbox, open_sandbox
from tasks.docker.start_state import start_state
from tasks.errors import TaskError
from tasks.sandbox import Limits

pytestmark = pytest.mark.docker

START = r"""
mkdir -p src docs build && cd /testbed
printf '*.pyc\n__pycache__/\nbuild/*\n!build/keep\n*.log\n' >.gitignore
for n in 1 2 3 4 5; do echo "line $n"; done >src/a.py
cp src/a.py src/b.py; echo old >docs/page; printf 'bin\0ary' >docs/image; echo tracked >always.log
ln -s src/a.py link; printf '#!/bin/sh\n' >run.sh; chmod +x run.sh; echo product >build/product
git init -q -b main; git add -A; git add -f always.log
git -c user.name=t -c user.email=t@t commit -qm start
"""


@pytest.fixture(scope="module")
def image(docker_daemon: None) -> Iterator[str]:
    """An image whose /testbed is a small repository with ignored files."""
    with open_sandbox(sandbox_base().id) as box:
        assert box.exec(START, timeout=60).exit_code == 0
        made = client().containers.get(box.container_id).commit(repository="asclaimed/test", tag="patch")
    yield str(made.id)
    client().images.remove(str(made.id), force=True)


@pytest.fixture(params=["stream", "daemon's list"])
def box(
    request: pytest.FixtureRequest, image: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[DockerSandbox]:
    """Both ways of finding what changed must give the same patch."""
    if request.param == "daemon's list":
        monkeypatch.setattr(extraction, "STREAM_BYTES", -1)
    with open_sandbox(image) as opened:
        yield opened


def outcome(box: DockerSandbox, command: str) -> tuple[bytes, tuple[str, ...]]:
    box.exec(command, timeout=60)
    return box.diff()


def applied(image: str, patch: bytes, probe: str) -> str:
    """What `probe` prints in a fresh container with the patch applied."""
    with open_sandbox(image) as fresh:
        fresh.write("/tmp/patch", patch)
        done = fresh.exec(f"git apply --whitespace=nowarn /tmp/patch && {probe}", timeout=60)
        assert done.exit_code == 0, done.output
        return done.output


EVERYTHING = r"""
sed -i 's/line 3/LINE 3/' src/a.py; git mv src/b.py src/c.py; rm docs/page; printf 'bin\0new' >docs/image
chmod +x src/a.py; chmod -x run.sh; ln -sfn src/c.py link; echo changed >always.log
mkdir -p new/deep; echo n >new/deep/file; printf 'no newline' >new/end; echo x >build/other; echo k >build/keep
mkdir -p src/__pycache__; echo c >src/__pycache__/a.pyc; echo log >new/debug.log; rm build/product
echo odd >$'tab\tnew\nline"quote'; echo bytes >$'latin-\xe9'; chmod 000 new/end; ln new/deep/file new/hard
"""


def test_carries_everything_that_git_add_would(box: DockerSandbox, image: str) -> None:
    patch, skipped = outcome(box, EVERYTHING)
    assert skipped == ()
    probe = "git add -A; git diff --cached --no-renames --name-status HEAD; cat new/hard; readlink link"
    assert sorted(applied(image, patch, probe).splitlines()) == [
        'A\t"latin-\\351"', 'A\t"tab\\tnew\\nline\\"quote"', "A\tbuild/keep", "A\tnew/deep/file", "A\tnew/end",
        "A\tnew/hard", "A\tsrc/c.py", "D\tdocs/page", "D\tsrc/b.py", "M\talways.log", "M\tdocs/image", "M\tlink",
        "M\trun.sh", "M\tsrc/a.py", "n", "src/c.py",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "command",
    [
        "true",
        "touch src/a.py; chmod 700 docs",
        "mkdir -p __pycache__ empty; echo x >__pycache__/y.pyc; echo z >build/z",
    ],
)
def test_is_empty_when_nothing_counts(box: DockerSandbox, command: str) -> None:
    assert outcome(box, command) == (b"", ())


HOSTILE = [
    "git config diff.external /bin/true; git config core.fsmonitor 'touch /tmp/x'; git config core.autocrlf true",
    "echo '* -diff filter=evil diff=evil' >.git/info/attributes; git config filter.evil.clean 'echo evil'; git config diff.evil.textconv 'echo same'",
    "echo '*' >.git/info/exclude; git config core.excludesFile /testbed/.git/info/exclude",
    "git update-index --assume-unchanged src/a.py; git update-index --skip-worktree src/a.py",
    "git add -A; git -c user.name=a -c user.email=a@a commit -qm done; git tag start; rm -rf .git/refs/heads",
    "printf '#!/bin/sh\\nexit 0\\n' >/usr/bin/git; chmod +x /usr/bin/git; cp /usr/bin/git /usr/bin/bash",
    "rm -rf .git",
    "rm -rf .git; ln -s /etc .git",
    "echo 'gitdir: /proc/1' >x; rm -rf .git; mv x .git",
]


@pytest.mark.parametrize("command", HOSTILE)
def test_hears_nothing_that_the_agent_tells_git(box: DockerSandbox, command: str) -> None:
    box.exec("sed -i 's/line 3/LINE 3/' src/a.py", timeout=20)
    patch, skipped = outcome(box, command)
    assert patch.count(b"diff --git") == 1
    assert b"-line 3\n+LINE 3\n" in patch
    assert skipped == ()


def test_new_attributes_and_ignore_files_are_only_content(box: DockerSandbox) -> None:
    patch, _ = outcome(box, "echo '*' >.gitignore; echo '* binary' >.gitattributes; echo new >new.py")
    assert b"+++ b/new.py\n@@ -0,0 +1 @@\n+new\n" in patch
    assert b"+++ b/.gitattributes" in patch


def test_a_working_directory_that_is_gone_is_a_deletion(box: DockerSandbox, image: str) -> None:
    patch, skipped = outcome(box, "cd /; rm -rf /testbed")
    assert skipped == ()
    assert applied(image, patch, "ls").strip() == "build"


def test_a_working_directory_that_became_a_link(box: DockerSandbox) -> None:
    patch, skipped = outcome(box, "cd /; mv /testbed /elsewhere; ln -s /etc /testbed")
    assert b"root:" not in patch
    assert skipped == (".: the working directory is no longer a directory",)


def test_kinds_that_change_places(box: DockerSandbox, image: str) -> None:
    command = (
        "rm -rf src; ln -s /etc src; rm link; mkdir link; echo in >link/file; rm -r docs; echo flat >docs"
    )
    patch, _ = outcome(box, command)
    assert applied(image, patch, "readlink src; cat link/file docs") == "/etc\nin\nflat\n"


def test_what_no_patch_can_carry_is_named(box: DockerSandbox) -> None:
    command = "mkfifo pipe; mkdir -p sub/.GIT sub/.git; echo a >sub/.GIT/config; echo b >sub/.git/config; truncate -s 40M big; echo ok >ok"
    patch, skipped = outcome(box, command)
    assert patch.count(b"diff --git") == 1
    assert [line.split(":")[0] for line in skipped] == ["big", "pipe", "sub/.GIT/config"]


def test_survives_the_death_of_the_machine(image: str) -> None:
    with open_sandbox(image, limits=Limits(memory=128 << 20)) as box:
        box.exec("echo fixed >src/a.py", timeout=20)
        client().containers.get(box.container_id).kill()
        assert b"+fixed" in box.diff().patch


def test_a_working_directory_in_a_volume_is_refused(docker_daemon: None) -> None:
    with open_sandbox(sandbox_base().id) as box:
        container = client().containers.get(box.container_id)
        made = container.commit(repository="asclaimed/test", tag="volume", conf={"Volumes": {"/testbed": {}}})
    try:
        with pytest.raises(TaskError, match="in a volume"):
            start_state(str(made.id), "/testbed")
    finally:
        client().images.remove(str(made.id), force=True)


def test_many_files_are_taken_in_one_stream(image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "STREAM_BYTES", -1)
    with open_sandbox(image) as box:
        patch, _ = outcome(box, "for n in $(seq 400); do echo $n >src/n$n; done; rm src/b.py")
    assert patch.count(b"diff --git") == 401


@pytest.mark.parametrize("path", [b"a/../b", b".git/config", b"a/.GiT/x", b"", b"/abs", b"a//b"])
def test_unsafe_names(path: bytes) -> None:
    assert unsafe(path)


def test_names_are_shown_without_their_teeth() -> None:
    assert show(b"a\x1b[2J\n\xff") == "a\\x1b[2J\\n\\\\xff"
    assert quote(b'a"\n\xe9') == b'"a\\042\\012\\351"'


def test_our_git_reads_no_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.docker.hostgit import git, make_store

    (tmp_path / ".gitconfig").write_text("[core]\n\tabbrev = broken\n[alias]\n\tversion = !false\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    store = make_store(tmp_path / "store.git")
    assert git(store, "config", "--default", "none", "--get", "core.abbrev") == b"none\n"
    assert (
        subprocess.run(["git", "config", "core.abbrev"], capture_output=True, check=False).stdout
        == b"broken\n"
    )
