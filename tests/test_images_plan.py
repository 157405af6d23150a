"""What the images of some tasks take is said before any is pulled: by the registry's own manifests, layers counted once."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evals.commands.application import app
from evals.commands.images import budget_words, bytes_in, plan_lines
from tasks.docker.availability import ImageAvailability, ImageState
from tasks.docker.pull import Unreachable
from tasks.docker.pull_plan import UNPACKED, Need, add_up, pull_plan
from tasks.docker.registry import Layer, ManifestFacts, Place, chain_ids, digest_of, manifest
from tasks.docker.shelf import Shelf, at_once_within, course
from tasks.errors import TaskError, UserError
from tasks.mirrors import full_name, mirrored, names
from tasks.sandbox import RegistryError
from tasks.task import Brief, Checks, ImageSpec, Task
from tests.fakes.real_registry import RealRegistry, layer, real_registry

GB = 10**9


def task_of(reference: str, name: str = "t") -> Task:
    brief = Brief(task_id=name, repo="r", problem_statement="p")
    checks = Checks(fail_to_pass=(), pass_to_pass=(), gold_patch="", test_patch="")
    return Task(id=name, benchmark="b", image=ImageSpec(reference=reference), brief=brief, checks=checks)


# ---- pure: layers, budgets, names -----------------------------------------------------------------------------------


def test_a_layer_is_counted_once_and_stays_while_one_image_holds_it() -> None:
    base, mine, yours = Layer("base", 100), Layer("mine", 10), Layer("yours", 1)
    shelf = Shelf()
    assert (shelf.add("a", (base, mine)), shelf.add("b", (base, yours)), shelf.bytes) == (110, 1, 111)
    assert shelf.add("a", (base, mine)) == 0, "it is there"
    assert (shelf.remove("a"), shelf.bytes) == (10, 101)
    assert (shelf.remove("b"), shelf.bytes) == (101, 0)
    assert Shelf([base]).cost((base, mine, mine)) == 10, "what was there before costs nothing"


def images(*stacks: Sequence[tuple[str, int]]) -> list[tuple[str, tuple[Layer, ...]]]:
    return [(f"i{n}", tuple(Layer(*one) for one in stack)) for n, stack in enumerate(stacks)]


def test_a_budget_evicts_what_is_used_up_and_says_what_comes_twice() -> None:
    listed = images([("x", 5), ("a", 1)], [("y", 5), ("b", 1)], [("x", 5), ("c", 1)])
    assert course(listed, None, 1)[1:] == (13, 13, 0, 0)
    walked = course(listed, 12, 1)
    assert (walked.peak, walked.stored, walked.evicted, walked.again) == (12, 13, 6, 0)
    assert walked.at_once == 2, "the one with x stays: the next one needs it"
    walked = course(listed, 7, 1)
    assert (walked.peak, walked.stored, walked.evicted, walked.again) == (6, 18, 12, 5), (
        "x went with the first image"
    )
    assert course(listed, 7, 2).peak == 12, "two in use do not fit: they are taken in all the same"
    assert [at_once_within(listed, budget) for budget in (5, 6, 12, 13)] == [0, 1, 2, 3]


def five_hundred() -> list[tuple[str, tuple[Layer, ...]]]:
    """1.5 GB each: 0.1 that all share, 1.0 that ten neighbours share, 0.4 of their own."""
    return [
        (f"image-{n}", (Layer("os", GB // 10), Layer(f"env-{n // 10}", GB), Layer(f"own-{n}", 4 * GB // 10)))
        for n in range(500)
    ]


def test_five_hundred_images_of_1500_mb_are_planned_within_a_budget() -> None:
    """As one would write the sum on paper: 750 GB of images are 250.1 GB of layers, and 30 GB hold them one after the other."""
    listed = five_hundred()
    began = time.process_time()
    whole, walked = course(listed, None, 8), course(listed, 30 * GB, 8)
    assert time.process_time() - began < 10, "it took 0.1 s on an idle machine"
    assert sum(one.bytes for _, stack in listed for one in stack) == 750 * GB
    assert whole.peak == whole.stored == GB // 10 + 50 * GB + 200 * GB
    assert walked.peak <= 30 * GB
    assert (walked.stored, walked.again) == (whole.stored, 0), "neighbours share, so nothing is pulled twice"
    assert walked.evicted == 220_400_000_000, "all but what is there at the end"
    assert walked.at_once == 57, "0.1 + 57 × 0.4 + the seven times 1.0 that 57 neighbours may need = 29.9"


def test_names_on_a_mirror_come_first_and_stay_the_same_image() -> None:
    spec = ImageSpec(reference="swebench/sweb.eval.x86_64.a_1:latest")
    assert full_name("debian:12") == "docker.io/library/debian:12"
    assert names(spec, "x86_64") == (spec.reference,)
    there = spec.model_copy(
        update={"mirrors": ("hub.lan:5000/proxy", "swebench/sweb.eval.x86_64.=ghcr.io/x/eval.")}
    )
    assert names(there, "x86_64") == (
        "hub.lan:5000/proxy/swebench/sweb.eval.x86_64.a_1:latest",
        "ghcr.io/x/eval.a_1:latest",
        spec.reference,
    )
    pinned = there.model_copy(update={"digest": "sha256:" + "0" * 64})
    assert names(pinned, "x86_64")[0] == "hub.lan:5000/proxy/swebench/sweb.eval.x86_64.a_1@sha256:" + "0" * 64
    other = ImageSpec(reference="quay.io/x/y:1", mirrors=("hub.lan",))
    assert names(other, "x86_64") == ("quay.io/x/y:1",), (
        "a mirror of Docker Hub has nothing of another registry"
    )
    [task] = mirrored([task_of("a/b:1")], ["hub.lan"])
    assert task.content_hash == task_of("a/b:1").content_hash, "the way to an image is no part of the task"


@pytest.mark.parametrize("wrong", ["", "=x", "x=", "https://x", "UPPER", "a b"])
def test_what_is_no_mirror_is_refused(wrong: str) -> None:
    with pytest.raises(UserError, match="is no mirror: give HOST"):
        mirrored([task_of("a/b:1")], [wrong])


@pytest.mark.parametrize(
    ("text", "size"), [("200GB", 200 * GB), ("1.5 TiB", 3 * 2**39), ("1000000", 10**6), ("10mb", 10**7)]
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert bytes_in(text) == size


def test_a_stack_is_named_as_the_specification_has_it() -> None:
    """The second value is `printf 'sha256:aa sha256:bb' | sha256sum`."""
    assert chain_ids(["sha256:aa", "sha256:bb"]) == [
        "sha256:aa",
        "sha256:b68ad689d6d1ec110ea1c13617437ad6f3766d4b3b309f6a603a222e07a0164f",
    ]


def known(name: str, *layers: tuple[str, int]) -> Need:
    facts = ManifestFacts(digest=name, architecture="amd64", layers=tuple(Layer(*one) for one in layers))
    return unknown(name)._replace(asked=facts)


def unknown(name: str) -> Need:
    return Need(ImageSpec(reference=name), ImageAvailability(name, ImageState.UNKNOWN))


@pytest.mark.docker
def test_what_was_not_asked_is_taken_for_average_and_said_to_be(docker_daemon: None) -> None:
    needs = [
        known("a", ("os", 100), ("a", 10)),
        known("b", ("os", 100), ("b", 30)),
        unknown("c"),
        unknown("d"),
    ]
    made = add_up(needs, [], budget=None, at_once=1, rate=30.0)
    assert (made.pull_bytes, made.pull_bytes_unshared) == (100 + 10 + 30 + 20 + 20, 480)
    assert made.seconds == made.pull_bytes / 30.0
    assert "manifests of 2; the other 2 are taken" in made.source
    here = add_up(needs, [Layer("os", 0)], budget=None, at_once=1, rate=None)
    assert (here.pull_bytes, here.seconds) == (80, None), "a layer that is here is not pulled"
    assert here.disk_bytes == round(80 * UNPACKED)
    none = add_up([unknown("c")], [], budget=10, at_once=1, rate=None)
    assert "no registry told" in none.source
    assert "would take" in budget_words(none, 1), "the budget does not hold one"


@pytest.mark.docker
def test_images_of_every_kind_are_counted_once_each(docker_daemon: None) -> None:
    here = Need(ImageSpec(reference="h"), ImageAvailability("h", ImageState.PRESENT), copy_bytes=50)
    built = Need(ImageSpec(reference="b"), ImageAvailability("b", ImageState.BUILDABLE), copy_bytes=7)
    asked = known("a", ("os", 100), ("a", 10))._replace(copy_bytes=5)
    instead = Need(
        ImageSpec(reference="i", context=Path("x")), unknown("i").found, asked=TaskError("no registry has i")
    )
    nowhere = unknown("n")._replace(asked=TaskError("no registry has n"))
    busy = unknown("r")._replace(asked=RegistryError("HTTP 429"))
    made = add_up([here, built, asked, instead, nowhere, busy], [], budget=None, at_once=1, rate=None)
    assert (made.images, made.here, made.to_build, made.to_pull) == (6, 1, 2, 2)
    assert made.impossible == {"n": "no registry has n"}
    assert (made.unreachable, made.asked, made.layers) == ("HTTP 429", 1, 2)
    assert (made.pull_bytes, made.pull_bytes_unshared) == (220, 220), "the other one is taken for as large"
    assert made.disk_bytes == 50 + 7 + 5 + 3 * 297, "copies, and 2.7 times 110 of each that is not here"
    assert (made.course.at_once, made.course.peak, made.budget_bytes) == (5, made.disk_bytes, None)
    assert "manifests of 1; the other 1 are taken" in made.source
    within = add_up([asked, busy], [], budget=302, at_once=1, rate=2.0)
    assert (within.course.peak, within.course.evicted, within.disk_bytes) == (302, 302, 599)
    assert within.seconds == 110.0
    assert within._replace(free_bytes=302).fits
    assert not within._replace(free_bytes=301).fits


# ---- against a real registry ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(docker_daemon: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    with real_registry(tmp_path_factory.mktemp("registry")) as made:
        base = layer("base", 300_000)
        for name in ("a", "b", "c"):
            made.push(f"plan/{name}:1", [base, layer(name)], index=name == "c")
        made.push("plan/elsewhere:1", [layer("e")], architecture="s390x", index=True)
        yield made


@pytest.fixture(autouse=True)
def well(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if "served" in request.fixturenames:
        made = request.getfixturevalue("served")
        made.status = made.refuse_next = 0
        made.asked.clear()


@pytest.mark.docker
def test_a_plan_counts_shared_layers_once_and_pulls_nothing(served: RealRegistry) -> None:
    tasks = [task_of(served.image(f"plan/{name}:1"), name) for name in ("a", "b", "c", "c")]
    made = pull_plan(tasks, budget=2_000_000, at_once=2, rate=1e6)
    assert (made.images, made.to_pull, made.asked, made.layers, made.impossible) == (3, 3, 3, 4, {})
    assert 600_000 < made.pull_bytes < 630_000, "300 kB and three times 100"
    assert 1_200_000 < made.pull_bytes_unshared < 1_230_000
    assert made.source == "the registry's manifests of all 3"
    assert made.course.at_once == 3 if made.course.peak <= 2_000_000 else made.course.at_once < 3
    layers = {one.chain for task in tasks for one in manifest(task.image.reference).layers}
    assert len(layers) == 4
    assert len(served.blobs()) == 3, "configurations, and no layer"
    served.asked.clear()
    assert pull_plan(tasks).pull_bytes == made.pull_bytes
    assert {method for method, _ in served.asked} == {"HEAD"}, (
        "a manifest that is known is not asked for again"
    )


@pytest.mark.docker
@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, TaskError), (403, TaskError), (404, TaskError), (429, RegistryError), (503, RegistryError)],
)
def test_a_refusal_is_final_or_may_pass(served: RealRegistry, status: int, kind: type[Exception]) -> None:
    served.status = status
    with pytest.raises(kind, match=f"HTTP {status}"):
        digest_of(served.image("plan/a:1"))


@pytest.mark.docker
def test_the_command_says_what_it_takes_and_what_is_wrong_in_a_line_each(
    served: RealRegistry, tmp_path: Path
) -> None:
    def ask(*more: str) -> tuple[int, str, str]:
        done = CliRunner().invoke(app, ["images", "plan", "--tasks", str(rows), *more])
        return done.exit_code, done.stdout, done.stderr

    rows = write_rows(
        tmp_path, [served.image(f"plan/{name}:1") for name in ("a", "b", "none-such", "elsewhere")]
    )
    code, said, wrong = ask("--disk", "2GB", "--rate", "1MB")
    assert code == 1
    assert "images: 4: 0 here, 2 to pull, 0 to build, 2 not to be had" in said
    assert "to pull: 0.5 MB (0.8 MB if no layer were shared), by the registry's manifests of all 2" in said
    assert "within 2.0 GB: all images fit at once; with 4 in use at a time" in said
    assert "time to pull: 0.0 h at 1.0 MB a second" in said
    one, other = wrong.rstrip().split("\n")
    assert "plan/none-such:1 is not on this machine and cannot be pulled: HTTP 404" in one
    assert "plan/elsewhere:1 is for s390x, not for this machine's" in other
    code, said, _ = ask("--ids", "acme__t-0,acme__t-1", "--json")
    assert (code, json.loads(said)["to_pull"]) == (0, 2)
    served.status = 429
    code, said, wrong = ask()
    assert (code, wrong) == (0, "")
    assert "a registry was asked no further: " in said
    assert "HTTP 429" in said
    assert "an estimate: no registry told" in said


@pytest.mark.docker
def test_a_mirror_is_asked_before_the_names_own_registry(served: RealRegistry, tmp_path: Path) -> None:
    rows = write_rows(tmp_path, ["plan/a:1"])
    done = CliRunner().invoke(
        app, ["images", "plan", "--tasks", str(rows), "--registry-mirror", served.host, "--json"]
    )
    assert json.loads(done.stdout)["asked"] == 1, done.output
    done = CliRunner().invoke(app, ["images", "plan", "--tasks", str(rows), "--registry-mirror", "https://x"])
    assert done.exit_code == 1
    assert "is no mirror" in str(done.exception)


@pytest.mark.docker
def test_without_a_registry_there_is_an_estimate(docker_daemon: None) -> None:
    with pytest.raises(Unreachable, match=r"cannot be pulled now: .*refused"):
        digest_of("localhost:9/no/such:1")
    made = pull_plan([task_of("localhost:9/no/such:1"), task_of("localhost:9/no/other:1", "u")])
    assert (made.asked, made.to_pull) == (0, 2)
    assert "refused" in made.unreachable
    assert any("by an estimate" in line for line in plan_lines(made, 4))


def test_the_place_of_a_name() -> None:
    assert Place.of("a/b") == ("docker.io", "a/b", "latest")
    assert Place.of("debian:12") == ("docker.io", "library/debian", "12")
    assert Place.of("localhost:5000/a:1@sha256:00") == ("localhost:5000", "a", "sha256:00")


def write_rows(directory: Path, references: Sequence[str]) -> Path:
    """A task file with one row an image."""
    path = directory / "rows.jsonl"
    rows = (
        {
            "instance_id": f"acme__t-{n}", "repo": "acme/t", "base_commit": "0" * 40, "problem_statement": "p",
            "patch": "p", "test_patch": "t", "FAIL_TO_PASS": ["x"], "PASS_TO_PASS": [], "image": reference,
            "eval_script": "true", "log_parser": "parse_log_pytest", "version": "1",
        }
        for n, reference in enumerate(references)
    )  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
