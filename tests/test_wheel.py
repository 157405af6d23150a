"""What travels: the wheel holds the three packages with all their data, and works without the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tasks import supervisor

ROOT = Path(__file__).parents[1]
PACKAGES = ("evals", "scaffolds", "tasks")
AT_HOME = "evals/calibrate/"
"""Stays in the checkout: it checks our statistics on data that is not ours to ship."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a source distribution, which is built from what git tracks: no stray file stands in for a missing one."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(
        ["tar", "--null", "--files-from=-", "--ignore-failed-read", "-cf", source / "tracked.tar"],
        cwd=ROOT, input=tracked, check=True,
    )  # fmt: skip
    subprocess.run(["tar", "-xf", "tracked.tar"], cwd=source, check=True)
    backend = "from setuptools import build_meta; build_meta.build_sdist('.')"
    subprocess.run([sys.executable, "-c", backend], cwd=source, check=True, capture_output=True)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "-q",
        "-w",
        target,
        next(source.glob("asclaimed-*.tar.gz")),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return next(target.glob("asclaimed-*.whl"))


def test_the_wheel_holds_exactly_the_three_packages(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == set(PACKAGES)


def test_every_tracked_file_of_the_packages_travels(wheel: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True
    )
    wanted = {name for name in tracked.stdout.splitlines() if (ROOT / name).exists()}
    wanted -= {name for name in wanted if name.startswith(AT_HOME)}
    assert not [name for name in zipfile.ZipFile(wheel).namelist() if name.startswith(AT_HOME)]
    assert wanted - set(zipfile.ZipFile(wheel).namelist()) == set()


def test_an_unpacked_wheel_works_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    program = (
        "import json, evals\n"
        "from tasks import catalog\n"
        "from evals.claims.catalog import shipped\n"
        "from scaffolds.preset import names\n"
        "from tasks.docker.images import DOCKERFILE\n"
        "from evals.nightly.plan import load_nightly\n"
        "from evals.run.plan import load_plan\n"
        "from pathlib import Path\n"
        "load_nightly(Path('runs/plans/nightly.yaml'))\n"
        "assert load_plan(Path('runs/plans/demo.yaml'), {}).workers == 2\n"
        "print(json.dumps([evals.__file__, len(catalog.load('bundled')), len(shipped()), names(), DOCKERFILE.exists()]))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    where, tasks, claims, presets, dockerfile = json.loads(done.stdout)
    assert where.startswith(str(tmp_path))
    assert tasks >= 12
    assert claims >= 150
    assert presets
    assert dockerfile


def test_the_supervisor_travels_for_both_cpus_and_is_the_same_whoever_builds_it(wheel: Path) -> None:
    packed = zipfile.ZipFile(wheel)
    for architecture in supervisor.ARCHITECTURES:
        (name,) = [
            n for n in packed.namelist() if n.startswith(f"tasks/supervisor/bin/supervisor-{architecture}-")
        ]
        assert packed.read(name) == supervisor.binary(architecture)
