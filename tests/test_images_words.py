"""What `asclaimed images` says of a plan and of a prefetch, and how it exits: every number and every word by hand. No machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer

from evals.commands.images import (
    SHOWN,
    budget_words,
    bytes_in,
    counts,
    exit_code,
    impossible_lines,
    plan_lines,
    prefetched,
    time_line,
)
from tasks.docker.prefetch import Prefetch
from tasks.docker.pull_plan import PullPlan
from tasks.docker.pulled import note_of, note_pull, notes, rate
from tasks.docker.shelf import Course

MB = 10**6


def plan(**changes: Any) -> PullPlan:
    """Ten images: three here, five to pull, one to build, one not to be had."""
    made = PullPlan(
        images=10,
        here=3,
        to_build=1,
        to_pull=5,
        impossible={"x": "x is nowhere"},
        unreachable="",
        asked=5,
        pull_bytes=600 * MB,
        pull_bytes_unshared=900 * MB,
        layers=7,
        source="the registry's manifests of all 5",
        disk_bytes=1500 * MB,
        free_bytes=4000 * MB,
        root="/data",
        budget_bytes=None,
        course=Course(at_once=9, peak=1500 * MB, stored=1500 * MB, evicted=0, again=0),
        seconds=7200.0,
    )
    return made._replace(**changes)


def course(**changes: int) -> Course:
    return Course(at_once=3, peak=800 * MB, stored=1700 * MB, evicted=900 * MB, again=200 * MB)._replace(
        **changes
    )


def test_a_plan_in_full() -> None:
    assert list(plan_lines(plan(), 4)) == [
        "images: 10: 3 here, 5 to pull, 1 to build, 1 not to be had",
        "to pull: 600.0 MB (900.0 MB if no layer were shared), by the registry's manifests of all 5",
        "disk: about 1.5 GB more in /data, cleaned copies included (without the 1 to be built); 4.0 GB free",
        "time to pull: 2.0 h at 0.1 MB a second",
    ]


@pytest.mark.parametrize(
    ("changes", "there", "missing"),
    [
        ({"unreachable": "HTTP 429"}, "a registry was asked no further: HTTP 429", ""),
        ({"asked": 0}, "to pull: 600.0 MB, by", "if no layer"),
        ({"to_pull": 0, "pull_bytes": 0}, "disk: about", "pull: "),
        ({"free_bytes": None}, "free space there is not known", "NOT ENOUGH"),
        ({"free_bytes": 1500 * MB}, "1.5 GB free", "NOT ENOUGH"),
        ({"free_bytes": 1500 * MB - 1}, "NOT ENOUGH DISK: give a budget (--disk) below", "within"),
        ({"seconds": None}, "time: not known, for nothing was pulled here yet: give --rate", " h at "),
        ({"budget_bytes": 1500 * MB}, "within 1.5 GB: all images fit at once; with 4", "NOT ENOUGH"),
    ],
)
def test_each_line_stands_only_where_it_is_so(changes: dict[str, Any], there: str, missing: str) -> None:
    said = "\n".join(plan_lines(plan(**changes), 4))
    assert there in said
    assert not missing or missing not in said


def test_what_a_budget_does_in_words() -> None:
    def words(**changes: int) -> str:
        return budget_words(plan(budget_bytes=800 * MB, course=course(**changes)), 2)

    held = "3 images fit at once; with 2 in use at a time 800.0 MB at most, "
    assert words() == held + "900.0 MB evicted after last use, 200.0 MB of it pulled again"
    assert words(evicted=0, again=0) == held + "nothing is evicted"
    assert words(peak=800 * MB + 1) == "3 images fit at once; 2 at a time do not, and would take 800.0 MB"
    assert words(at_once=8).startswith("8 images fit at once; "), "of nine that can be had"
    assert words(at_once=9).startswith("all images fit at once; ")


def test_the_time_is_that_of_what_is_pulled() -> None:
    assert time_line(plan(seconds=360.0)) == "time to pull: 0.1 h at 1.7 MB a second"


def test_so_many_lines_about_single_images_and_then_a_number() -> None:
    wrong = {f"i{n}": f"no i{n}" for n in range(SHOWN + 2)}
    lines = list(impossible_lines(wrong))
    assert lines[:2] == ["not to be had: no i0", "not to be had: no i1"]
    assert (len(lines), lines[-1]) == (SHOWN + 1, "not to be had: 2 more (--json has them all)")
    assert len(list(impossible_lines(dict(list(wrong.items())[:SHOWN])))) == SHOWN
    assert list(impossible_lines({})) == []


def test_a_prefetch_in_numbers() -> None:
    made = Prefetch(
        images=15, here=1, to_build=2, pulled=["c", "b", "a"], failed={"d": "no d"}, left=["f", "e"]
    )
    made.why_left, made.bytes = "why", 7
    assert counts(made) == {
        "images were here": 1,
        "pulled": 3,
        "to be built by a run": 2,
        "not to be had": 1,
        "left": 2,
    }
    assert prefetched(made) == {
        "images": 15,
        "here": 1,
        "to_build": 2,
        "pulled": ["a", "b", "c"],
        "failed": {"d": "no d"},
        "left": ["e", "f"],
        "why_left": "why",
        "bytes": 7,
    }


@pytest.mark.parametrize(
    ("failed", "left", "within_budget", "code"),
    [
        ({}, [], False, 0),
        ({}, [], True, 0),
        ({"a": "no"}, [], False, 1),
        ({}, ["a"], True, 1),
        ({"a": "no"}, ["b"], True, 1),
        ({}, ["a"], False, 3),
        ({"a": "no"}, ["b"], False, 3),
    ],
)
def test_the_exit_code_says_whose_doing_it_is(
    failed: dict[str, str], left: list[str], within_budget: bool, code: int
) -> None:
    assert exit_code(Prefetch(failed=failed, left=left, within_budget=within_budget)) == code


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("7", 7),
        ("7B", 7),
        ("2K", 2000),
        ("2 kB", 2000),
        ("2M", 2 * MB),
        ("2G", 2000 * MB),
        ("2T", 2 * 10**12),
        ("2KiB", 2048),
        ("2Mi", 2 << 20),
        ("2GiB", 2 << 30),
        ("2TiB", 2 << 40),
        (" 0.5MB ", MB // 2),
    ],
)
def test_a_size_as_people_write_it(text: str, size: int) -> None:
    assert bytes_in(text) == size


@pytest.mark.parametrize("text", ["", "0", "0.0001K", "GB", "-1GB", "1PB", "1,5GB", "1e9", "1 2GB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is no number of bytes"):
        bytes_in(text)


def test_pulls_are_as_fast_as_the_middle_one_of_those_that_took_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert rate() is None
    note_pull("sha256:small", ("s:1",), MB - 1, 1.0)
    note_pull("sha256:at-once", ("t:1",), MB, 0.0)
    assert rate() is None
    for name, sent, seconds in (("a", MB, 1.0), ("b", 60 * MB, 2.0), ("c", 8 * MB, 2.0)):
        note_pull(f"sha256:{name}", (f"{name}:1",), sent, seconds)
    assert rate() == 4 * MB, "of 1, 4 and 30 MB a second"
    assert len(notes()) == 5


def test_a_name_that_was_noted_of_an_image_stays_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only noted names are ever removed: a second pull under another one must not make the first a stranger's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    note_pull("sha256:a", ("one:1",), 5, 1.0)
    note_pull("sha256:a", ("two:1", "one:1"), 7, 2.0)
    note = note_of("sha256:a")
    assert note is not None
    assert (note.references, note.bytes, note.seconds) == (("one:1", "two:1"), 7, 2.0)
    assert note_of("sha256:b") is None
