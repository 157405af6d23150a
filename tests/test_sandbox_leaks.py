"""Nothing of the answer is in the container: later history in any hiding place, other clones, canaries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest
from docker.errors import ImageNotFound

from tasks.docker.daemon import client, is_stale, owner_labels
from tasks.docker.images import sandbox_base
from tasks.docker.leaks import clean, search_container
from tasks.docker.sandbox import DockerSandbox, open_sandbox
from tasks.errors import TaskError

pytestmark = pytest.mark.docker

REPOSITORY = r"""
export GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@t GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@t
git init -q -b main; mkdir pkg; echo 1 >pkg/__init__.py; git add -A; git commit -qm first; git tag -a v1 -m 'release one'
echo 2 >pkg/__init__.py; git commit -qam start; START=$(git rev-parse HEAD)
echo SECRET-FIX-71c2 >pkg/__init__.py; git commit -qam 'the fix 71c2'; FIX=$(git rev-parse HEAD)
"""
HIDING = {
    "branch": "git branch later; git reset -q --hard $START",
    "annotated tag": "git tag -a v2 -m 'tag 71c2'; git reset -q --hard $START",
    "reflog only": "git reset -q --hard $START",
    "dangling": "git reset -q --hard $START; rm -rf .git/logs; rm -f .git/ORIG_HEAD",
    "remote": "git reset -q --hard $START; git remote add origin https://example.com/x; git update-ref refs/remotes/origin/main $FIX",
    "stash": "git reset -q --hard $START; echo SECRET-FIX-71c2 >x; git add x; git stash -q",
    "notes": "git reset -q --hard $START; git notes add -m 'SECRET-FIX-71c2' HEAD",
    "replace": "git reset -q --hard $START; git replace $START $FIX",
    "packed and kept": "git repack -qad; touch $(ls .git/objects/pack/*.pack | sed s/pack$/keep/); git reset -q --hard $START",
    "promisor": "git repack -qad; touch $(ls .git/objects/pack/*.pack | sed s/pack$/promisor/); git reset -q --hard $START",
    "pack without index": "git repack -qad; git reset -q --hard $START; rm -f .git/objects/pack/*.idx; git fetch -q /copy $START",
    "alternates": "git clone -q --bare . /opt/mirror.git; git reset -q --hard $START; rm -rf .git/objects/??; echo /opt/mirror.git/objects >.git/objects/info/alternates",
    "another clone": "git clone -q . /opt/elsewhere; git reset -q --hard $START",
    "worktree": "git reset -q --hard $START; git worktree add -q /opt/later $FIX",
    "index": "git reset -q --soft $START; git checkout -q HEAD -- . 2>/dev/null; git reset -q --hard; git read-tree $FIX",
    "fetch head": "git reset -q --hard $START; git fetch -q . $FIX",
}
AUDIT = "comm -23 <(git cat-file --batch-all-objects --batch-check='%(objectname)' | sort) <(git rev-list --objects HEAD | cut -d' ' -f1 | sort)"


@pytest.fixture
def images() -> Iterator[list[str]]:
    made: list[str] = []
    yield made
    for image in made:
        with suppress(ImageNotFound):  # gone together with the one that was made from it
            client().images.remove(image, force=True)


def cleaned(made: list[str], script: str) -> DockerSandbox:
    """A sandbox of the cleaned image of a container in which `script` ran."""
    with open_sandbox(sandbox_base().id) as box:
        done = box.exec(REPOSITORY + script, timeout=60)
        assert done.exit_code == 0, done.output
        dirty = client().containers.get(box.container_id).commit()
    made.insert(0, str(dirty.id))
    image = clean(str(dirty.id), "/testbed").image
    if image != dirty.id:
        made.insert(0, image)
    return open_sandbox(image)


@pytest.mark.parametrize(
    "script",
    [HIDING[k] for k in HIDING if k != "pack without index"],
    ids=[k for k in HIDING if k != "pack without index"],
)
def test_later_history_is_gone(docker_daemon: None, images: list[str], script: str) -> None:
    with cleaned(images, script) as box:
        assert box.exec("git log --oneline --all | wc -l; git fsck 2>&1", timeout=30).output == "2\n"
        assert box.exec(AUDIT, timeout=30).output == ""
        assert box.exec("git status --porcelain", timeout=30).output == ""
        assert box.exec("grep -rlE 'fix 71c2|tag 71c2' /testbed/.git /opt", timeout=30).output == ""
        search = "for p in $(find / -xdev -name objects -type d); do for o in $(GIT_OBJECT_DIRECTORY=$p git cat-file --batch-all-objects --batch-check | cut -d' ' -f1); do GIT_OBJECT_DIRECTORY=$p git cat-file -p $o; done; done | grep -a 71c2"
        assert box.exec(search, timeout=60).output == ""


def test_tags_of_ancestors_stay_for_version_tools(docker_daemon: None, images: list[str]) -> None:
    with cleaned(images, "git reset -q --hard $START") as box:
        assert box.exec("git describe --tags --long", timeout=30).output.startswith("v1-1-g")
        assert box.exec("git branch --show-current", timeout=30).output == "main\n"


def test_a_repository_that_cannot_be_audited_is_refused(docker_daemon: None, images: list[str]) -> None:
    with pytest.raises(TaskError, match="cannot be cleaned"):
        cleaned(
            images,
            "git reset -q --hard $START; mv .git/objects /opt/objects; ln -s /opt/objects .git/objects",
        )
    with pytest.raises(TaskError, match="incomplete"):
        cleaned(
            images,
            "git reset -q --hard $START; rm -f .git/objects/$(git rev-parse v1^{tree} | sed 's|^..|&/|')",
        )


def test_a_submodules_later_history_is_gone(docker_daemon: None, images: list[str]) -> None:
    script = r"""
    git reset -q --hard $START; cp -r /testbed /origin; (cd /origin; git reset -q --hard $FIX)
    git -c protocol.file.allow=always submodule --quiet add /origin sub; (cd sub; git checkout -q $START); rm -rf /origin
    git commit -qam 'with a submodule'
    """
    with cleaned(images, script) as box:
        assert box.exec(AUDIT, timeout=30, cwd="/testbed/sub").output == ""
        assert box.exec("git log --oneline | wc -l", timeout=30, cwd="/testbed/sub").output == "2\n"


def test_another_installed_copy_is_noted(docker_daemon: None, images: list[str]) -> None:
    with open_sandbox(sandbox_base().id) as box:
        box.exec(
            f"{REPOSITORY} cp -r pkg /usr/lib/python3/dist-packages/; git reset -q --hard $START", timeout=60
        )
        dirty = client().containers.get(box.container_id).commit()
    result = clean(str(dirty.id), "/testbed")
    images += [result.image, str(dirty.id)]
    assert result.notes == ("another copy of the package pkg at /usr/lib/python3/dist-packages/pkg",)


def test_an_image_without_a_repository_is_left_alone(docker_daemon: None) -> None:
    base = sandbox_base().id
    assert clean(base, "/testbed") == (base, ())
    with pytest.raises(TaskError, match="no directory"):
        clean(base, "/absent")


def test_a_canary_is_found_wherever_it_is(docker_daemon: None) -> None:
    with open_sandbox(sandbox_base().id, environment={"INNOCENT": "canary-4d1e"}) as box:
        box.exec(
            "mkdir -p /var/canary-4d1e; echo x canary-4d1e >/srv/notes; sleep 50 canary-4d1e 2>/dev/null &",
            timeout=20,
        )
        places = search_container(box, ["canary-4d1e"])
    assert "/srv/notes" in places
    assert "/var/canary-4d1e" in places
    assert any(place.endswith("/environ") for place in places)


def test_only_our_own_dead_are_reaped() -> None:
    ours = owner_labels()
    assert not is_stale(ours)
    assert is_stale({**ours, "asclaimed.boot": "an earlier one"})
    assert is_stale({**ours, "asclaimed.started": "1"})
    assert is_stale({**ours, "asclaimed.pid": "4194305"})
    assert not is_stale({**ours, "asclaimed.host": "another", "asclaimed.boot": "another"})
    assert not is_stale({**ours, "asclaimed.pid-namespace": "pid:[1]", "asclaimed.started": "1"})
