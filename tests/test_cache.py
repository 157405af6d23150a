"""The cache of a user: whole or absent, made again when it is broken, locked between threads and processes."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import pytest

from evals.serve.process import Native, notes
from tasks.disk import cache_directory, exclusive, load_cached, lock_file, write_atomic
from tasks.docker import leaks
from tasks.docker.daemon import client
from tasks.docker.images import sandbox_base
from tasks.docker.sandbox import open_sandbox
from tasks.docker.start_state import StartState, start_state
from tasks.errors import MachineError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache directory of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "asclaimed"


def test_a_broken_file_is_dropped_and_a_sound_one_is_read(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    assert load_cached(file, json.loads) is None
    file.write_bytes(b'{"cut": ')
    assert load_cached(file, json.loads) is None
    assert not file.exists()
    write_atomic(file, b"[1]")
    assert load_cached(file, json.loads) == [1]


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        write_atomic(tmp_path / "none" / "grade.json", b"{}")
    assert raised.value.filename == str(tmp_path / "none" / "grade.json")


def test_threads_that_write_the_same_file_leave_one_of_theirs(tmp_path: Path) -> None:
    texts = [bytes([letter]) * 200_000 for letter in b"abcdefgh"]
    threads = [threading.Thread(target=write_atomic, args=(tmp_path / "file", text)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "file").read_bytes() in texts
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_cache_that_cannot_be_made_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(MachineError, match="set XDG_CACHE_HOME"):
        cache_directory()


def test_who_waits_for_a_lock_is_told_once_and_gets_it(home: Path) -> None:
    told: list[str] = []
    got = threading.Event()

    def second() -> None:
        with exclusive("x", lambda: told.append("waiting")):
            got.set()

    thread = threading.Thread(target=second)
    with exclusive("x"):
        thread.start()
        assert not got.wait(0.5)
    assert got.wait(5)
    thread.join()
    assert told == ["waiting"]


def test_who_will_not_wait_for_a_lock_need_not(tmp_path: Path) -> None:
    class Busy(Exception):  # noqa: N818
        pass

    def refuse() -> None:
        raise Busy

    with lock_file(tmp_path / "lock", lambda: None):
        thread_saw: list[type] = []

        def other() -> None:
            try:
                with lock_file(tmp_path / "lock", refuse):
                    pass
            except Busy:
                thread_saw.append(Busy)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert thread_saw == [Busy]


@pytest.mark.docker
def test_a_cleaned_images_note_that_was_cut_is_made_again(docker_daemon: None, home: Path) -> None:
    base = sandbox_base().id
    first = leaks.clean(base, "/testbed")
    (note,) = (home / "clean").iterdir()
    note.write_bytes(note.read_bytes()[:9])
    assert not leaks.known_clean(base, "/testbed")
    assert leaks.clean(base, "/testbed") == first
    assert leaks.known_clean(base, "/testbed")


@pytest.mark.docker
@pytest.mark.parametrize("damage", ["start.json", "ignore", "store", "blob"])
def test_a_damaged_start_state_is_recorded_again(docker_daemon: None, home: Path, damage: str) -> None:
    base = sandbox_base().id
    with open_sandbox(base) as box:
        box.exec(
            "mkdir sub; echo '*.o' >sub/.gitignore; seq 1000 >sub/a; git init -q .; git add -A", timeout=30
        )
        image = client().containers.get(box.container_id).commit(repository="asclaimed/test", tag="cache")
    try:
        before = start_state(str(image.id), "/testbed")
        harm(home, damage, before)
        with open_sandbox(str(image.id)) as box:
            box.exec("echo new >>sub/a", timeout=30)
            assert b"+new" in box.diff().patch
        after = start_state(str(image.id), "/testbed")
        assert (after.commit, after.tracked) == (before.commit, before.tracked)
    finally:
        client().images.remove(str(image.id), force=True)


def harm(home: Path, what: str, start: StartState) -> None:
    """What a crash leaves: files that are gone or empty."""
    (state,) = (path.parent for path in (home / "start").glob("*/start.json"))
    objects = home / "start" / "store.git" / "objects"
    if what == "start.json":
        (state / what).write_bytes((state / what).read_bytes()[:20])
    elif what == "ignore":
        shutil.rmtree(state / "ignore")
    elif what == "store":
        for file in objects.glob("??/*"):
            empty(file)
    else:
        name = start.blobs[b"sub/a"]
        empty(objects / name[:2] / name[2:])
        assert StartState.load(start.store, state), "only git's diff finds it"
        return
    assert StartState.load(start.store, state) is None


def empty(file: Path) -> None:
    file.chmod(0o600)
    file.write_bytes(b"")


def test_a_note_of_a_server_that_was_cut_is_dropped(home: Path) -> None:
    note = notes() / "9.pid"
    note.write_text("")
    assert Native.find(None) == []
    assert not note.exists()
