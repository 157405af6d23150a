"""Reads claims files and finds claims in them. Errors name the file and the claim."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError

from evals.claims.claim import Claim, Protocol, Source, folded, same_benchmark
from tasks.errors import UserError, near
from tasks.task import Frozen

MAX_BYTES = 2_000_000


class ClaimsFile(Frozen):
    """A claims file as it is written; `claims` still name their protocol and source."""

    maker: str
    claimed_by: str | None = None
    """Default for the claims; the maker when absent."""
    protocols: dict[str, Protocol] = Field(default_factory=dict)
    sources: dict[str, Source] = Field(default_factory=dict)
    claims: tuple[dict[str, Any], ...]


def parse(text: str, name: str) -> tuple[Claim, ...]:
    """The claims of one file. Raises `UserError` that says where `name` is wrong."""
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{name} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise UserError(f"{name} must hold keys and values, `maker:` and `claims:` among them")
    try:
        document = ClaimsFile.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{name}: {first_problem(error)}") from None
    claims = tuple(claim_of(raw, document, name) for raw in document.claims)
    refuse_twins(claims, name)
    return claims


def claim_of(raw: dict[str, Any], document: ClaimsFile, name: str) -> Claim:
    """One claim with its names looked up and the file's defaults filled in."""
    defaults = {"maker": document.maker, "claimed_by": document.claimed_by or document.maker}
    values = defaults | raw
    label = f"{name}: claim {raw.get('id', '(no id)')}"
    for key, table in (("protocol", document.protocols), ("source", document.sources)):
        reference = values.get(key)
        if isinstance(reference, str):
            if reference not in table:
                raise UserError(f"{label} names the {key} {reference!r}, which the file does not define")
            values[key] = table[reference]
    try:
        return Claim.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{label}: {first_problem(error)}") from None


def first_problem(error: ValidationError) -> str:
    """The first complaint of pydantic in one line."""
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    return f"{where}: {problem['msg']}" if where else str(problem["msg"])


def refuse_twins(claims: tuple[Claim, ...], name: str) -> None:
    seen: set[str] = set()
    for claim in claims:
        if folded(claim.id) in seen:
            raise UserError(f"{name}: the id {claim.id} is used twice; add @something to one of them")
        seen.add(folded(claim.id))


def read(path: Path) -> tuple[Claim, ...]:
    """The claims of a file on disk."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path} is larger than {MAX_BYTES // 1_000_000} MB: not a claims file")
        return parse(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read claims from {path}: {error}") from None


@cache
def shipped() -> tuple[Claim, ...]:
    """Every claim that travels with asclaimed, in the order of the files."""
    found = [entry for entry in files("evals.claims").iterdir() if re.fullmatch(r"[a-z].*\.yaml", entry.name)]
    ordered = sorted(found, key=lambda entry: entry.name)
    claims = tuple(claim for entry in ordered for claim in parse(entry.read_text("utf-8"), entry.name))
    refuse_twins(claims, "the shipped claims")
    return claims


def find(name: str) -> Claim:
    """A claim by its id, spelled with or without dashes; or from a file, as `FILE.yaml` or `FILE.yaml:ID`.

    `model/benchmark` is enough where a single claim bears it. Raises `UserError` that names the candidates.
    """
    file, _, wanted = name.partition(".yaml")
    pool = read(Path(f"{file}.yaml")) if name != file else shipped()
    wanted = wanted.lstrip(":") if name != file else name
    return choose(wanted, pool)


def choose(wanted: str, pool: tuple[Claim, ...]) -> Claim:
    key = folded(wanted)
    exact = [claim for claim in pool if folded(claim.id) == key]
    matches = exact or [c for c in pool if not key or folded(c.id).startswith(f"{key}@")]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise UserError(f"{wanted or 'the file'} has {len(matches)} claims, name one: {listed(matches)}")
    alike = [claim for claim in pool if key.split("/")[0] in folded(claim.id)]
    hint = near(wanted, [claim.id for claim in pool]) or (f"; near it: {listed(alike)}" if alike else "")
    raise UserError(f"there is no claim {wanted!r}{hint or '; `asclaimed claims list` shows all'}")


def matching(claims: tuple[Claim, ...], model: str | None, benchmark: str | None) -> list[Claim]:
    """The claims whose model bears `model` in its name and whose benchmark is `benchmark`; None matches all."""
    return [
        claim
        for claim in claims
        if (model is None or folded(model) in folded(claim.model))
        and (benchmark is None or same_benchmark(claim.benchmark, benchmark))
    ]


def listed(claims: list[Claim], most: int = 6) -> str:
    names = ", ".join(claim.id for claim in claims[:most])
    return names + (", …" if len(claims) > most else "")
