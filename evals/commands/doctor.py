"""`asclaimed doctor`: what a model server really does, or, without one, what this machine has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evals.commands import output
from evals.commands.options import ApiKeyEnvOption, JsonOption, key_in
from tasks.errors import MachineError, UserError

if TYPE_CHECKING:
    from evals.serve.doctor.finding import Examination, Finding
    from scaffolds.openai.config import ModelConfig

TRIED = "Docker tried out"
COLORS = {"ok": "green", "warning": "yellow", "blocker": "bold red"}


def doctor(
    base_url: Annotated[
        str | None, typer.Option(help="OpenAI-compatible server to look at, up to /v1.", metavar="URL")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Model name; not needed where the server has one.", metavar="NAME")
    ] = None,
    api_key_env: ApiKeyEnvOption = None,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Longer prompts and more samples: up to 15 minutes.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Look at a model server, or, without --base-url, at this machine: Docker, disk, models, a server.

    Without --base-url Docker is tried out with a sandbox and a test run: exit code 3 where it fails.
    Exit codes with --base-url: 0 nothing that would bend a score (there may be warnings), 1 a blocker, 2 no such
    server, model or key.
    """
    if base_url is None:
        if model or thorough or api_key_env:
            raise UserError("give the server to look at: --base-url http://127.0.0.1:8080/v1")
        _machine(as_json=as_json)
        return
    examination = _examine(base_url, model, key_in(api_key_env), thorough=thorough)
    if as_json:
        output.print_json(examination.model_dump(mode="json"))
    else:
        _print(examination)
    raise typer.Exit(int(examination.worst == "blocker"))


def _examine(base_url: str, model: str | None, key: str | None, *, thorough: bool) -> Examination:
    from evals.commands.run import show_on
    from evals.serve.doctor.examine import examine
    from evals.serve.doctor.finding import Form
    from scaffolds.openai.probe import probe

    with output.console(stderr=True).status("looking for the server") as status:
        try:
            config = _config(base_url, model, key)
            facts = probe(config)
        except MachineError as error:
            raise UserError(str(error)) from None
        return examine(config, facts, Form.THOROUGH if thorough else Form.FULL, show_on(status))


def _config(base_url: str, model: str | None, key: str | None) -> ModelConfig:
    """Raises `UserError` for a bad address, or where the server has several models and none was named."""
    from pydantic import ValidationError

    from scaffolds.openai.config import ModelConfig
    from scaffolds.openai.probe import served_names

    def made(name: str) -> ModelConfig:
        given: dict[str, Any] = {"base_url": base_url, "model": name, **({"api_key": key} if key else {})}
        try:
            return ModelConfig(**given)
        except ValidationError as error:
            raise UserError(f"--base-url: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None

    if model is not None:
        return made(model)
    names = served_names(made(""))
    if len(names) != 1:
        raise UserError(
            f"name the model with --model; the server has: {', '.join(names[:20]) or 'no list of them'}"
        )
    return made(names[0])


def _print(examination: Examination) -> None:
    from rich.table import Table
    from rich.text import Text

    from evals.report.text import plain

    server = examination.server
    known = [f"{fact} {getattr(server, fact)}" for fact in ("version", "window", "slots", "quantization")]
    facts = [fact for fact in known if not fact.endswith(" None")]
    console = output.console()
    console.print(
        Text(
            plain(
                f"{server.dialect} at {server.base_url}: {', '.join(facts) or 'says nothing of itself'}", 500
            )
        )
    )
    table = Table(box=None, pad_edge=False, show_header=False)
    for column in ("level", "name", "what"):
        table.add_column(column, overflow="fold")
    for finding in examination.findings:
        table.add_row(
            Text(finding.level, COLORS[finding.level]), Text(finding.name), Text(plain(_told(finding), 1000))
        )
    console.print(table)
    console.print(f"{examination.seconds:.0f} s; worst: {examination.worst}", highlight=False)


def _told(finding: Finding) -> str:
    effect = f". Effect: {finding.effect}" if finding.effect else ""
    return f"{finding.what}{effect}" + (f". Cure: {finding.cure}" if finding.cure else "")


def _machine(*, as_json: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    with output.console(stderr=True).status("looking") as status:
        found = {
            **_docker(status.update),
            "disk": _disk(),
            **dict(_models()),
            "server on 8080": _server(8080),
        }
    if as_json:
        output.print_json(found)
    else:
        table = Table("what", box=None, pad_edge=False)
        table.add_column("state", overflow="fold")
        for what, state in found.items():
            table.add_row(what, Text(state))
        output.console().print(table)
    if not found.get(TRIED, "").startswith("passed"):
        raise typer.Exit(MachineError.exit_code)


def _docker(say: Callable[[str], None]) -> dict[str, str]:
    from tasks.docker.daemon import facts, unenforced
    from tasks.docker.endpoint import endpoint
    from tasks.docker.selftest import describe, try_out
    from tasks.sandbox import SandboxError

    try:
        info, about = dict(facts()), describe()
    except (MachineError, SandboxError) as error:
        return {"Docker": str(error)}
    missing = unenforced(info)
    limits = f"; it CANNOT limit {' and '.join(missing)}" if missing else ""
    size = f"{info.get('NCPU', '?')} cores, {info.get('MemTotal', 0) / 2**30:.1f} GiB"
    tried = try_out(lambda what, _fraction: say(what))
    return {"Docker": f"{about}, {size}, at {endpoint()}{limits}", TRIED: tried}


def _disk() -> str:
    import shutil

    from tasks.disk import cache_directory

    home = cache_directory()
    free = shutil.disk_usage(next(p for p in (home, *home.parents) if p.exists())).free
    return f"{free / 1e9:.1f} GB free for {home}"


def _models() -> list[tuple[str, str]]:
    from evals.serve.models import KNOWN
    from evals.serve.weights import cached

    def state(path: Path, size: int) -> str:
        return (
            f"in {path}"
            if path.exists()
            else f"not here yet: `asclaimed serve` downloads {size / 1e6:.0f} MB"
        )

    return [(f"model {name}", state(cached(weights), weights.size)) for name, weights in KNOWN.items()]


def _server(port: int) -> str:
    from evals.serve import probe

    if not probe.is_taken(port):
        return "not running"
    try:
        answer = probe.ask(port)
    except probe.NotReady as state:
        return f"something else, or not ready: {state}"
    return f"{answer.model}, {answer.slots} conversations of {answer.context} tokens"
