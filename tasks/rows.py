"""Rows of a benchmark, from a file or from Hugging Face, each with the place it came from.

Knows file formats, not columns: what a row means is `tasks.swebench`'s business.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from tasks.errors import MachineError, TaskError
from tasks.untrusted import loads

HUB_PROBE_SECONDS = 5.0
FILE_SUFFIXES = (".jsonl", ".json", ".parquet")


class Row(NamedTuple):
    """One row and its place, `file line 3`, for messages."""

    where: str
    columns: dict[str, Any]


def from_file(path: Path) -> Iterator[Row]:
    """Rows of a JSONL, JSON (a list of objects) or Parquet file. Raises `TaskError` naming file and line."""
    readers = {".jsonl": _jsonl, ".json": _json, ".parquet": _parquet}
    try:
        yield from readers[path.suffix](path)
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"cannot read {path}: {error}") from error


def _jsonl(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                where = f"{path.name} line {number}"
                yield _row(where, _parse(line, where))


def _json(path: Path) -> Iterator[Row]:
    rows = _parse(path.read_text(encoding="utf-8"), path.name)
    if not isinstance(rows, list):
        raise TaskError(f"{path.name}: expected a list of rows, found {type(rows).__name__}")
    for number, columns in enumerate(rows, start=1):
        yield _row(f"{path.name} row {number}", columns)


def _parse(text: str, where: str) -> Any:
    try:
        return loads(text)
    except ValueError as error:
        raise TaskError(f"{where}: not valid JSON: {error}") from error


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow.parquet
    from pyarrow import ArrowException

    try:
        rows = pyarrow.parquet.read_table(path).to_pylist()
    except ArrowException as error:
        raise TaskError(f"{path.name}: not a readable Parquet file: {error}") from error
    for number, columns in enumerate(rows, start=1):
        yield _row(f"{path.name} row {number}", columns)


def _row(where: str, columns: Any) -> Row:
    """Columns as plain JSON values: Parquet and Hugging Face bring dates, which a manifest cannot hold."""
    if not isinstance(columns, dict):
        raise TaskError(f"{where}: expected an object with columns, found {type(columns).__name__}")
    return Row(where, json.loads(json.dumps(columns, default=str)))


def from_hub(dataset: str, split: str = "test") -> Iterator[Row]:
    """Rows of a Hugging Face dataset, from its cache when the hub is away.

    Raises `MachineError` when there is neither.
    """
    if not hub_answers():
        # Must be set before the first import: without it the client retries for half a minute before it gives up.
        os.environ["HF_HUB_OFFLINE"] = "1"
    from datasets import load_dataset

    try:
        rows = load_dataset(dataset, split=split)
    except (OSError, ValueError) as error:
        raise MachineError(
            f"cannot get {dataset} from Hugging Face ({type(error).__name__}): "
            "connect to the network, or pass its rows as a file: --tasks PATH.jsonl or PATH.parquet"
        ) from error
    for number, columns in enumerate(rows, start=1):
        yield _row(f"{dataset} row {number}", columns)


def hub_answers() -> bool:
    """True when there is a web server at `HF_ENDPOINT` (or at huggingface.co), within `HUB_PROBE_SECONDS`."""
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    request = Request(endpoint, method="HEAD")  # noqa: S310 - the user's own setting, or https
    try:
        with urlopen(request, timeout=HUB_PROBE_SECONDS):  # noqa: S310
            return True
    except HTTPError:
        return True  # it answers, if only to say no
    except (URLError, OSError, ValueError):
        return False
