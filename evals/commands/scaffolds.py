"""`asclaimed scaffolds`: what each scaffold consists of, and in what two differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from evals.commands.options import JsonOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from scaffolds.catalog import Definition

app = typer.Typer(help="Scaffolds and their factors.", no_args_is_help=True)
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A name, FILE.yaml, or module:Class.")]
PLANS = "the plan's"
CHARACTERS_A_TOKEN = 4
"""Of English and JSON, roughly, where no model's tokenizer is at hand."""


@app.callback()
def group() -> None:
    """Scaffolds and their factors."""


@app.command("list")
def list_scaffolds(as_json: JsonOption = False) -> None:
    """List the scaffolds that travel with asclaimed, each with its factors."""
    from rich.table import Table

    from evals.commands.output import console, print_json
    from evals.report.terminal import fitting
    from scaffolds.catalog import all_names, find

    found = {name: find(name) for name in all_names()}
    if as_json:
        print_json([described(one) for one in found.values()])
        return
    shown = ("agency", "prompt", "tools", "calls", "history", "submit")
    table = Table("scaffold", *shown, "other", box=None)
    table.columns[0].no_wrap = True  # a name is there to be copied
    base = factors_of(found["base"])
    for name, one in found.items():
        if one.program:
            continue
        own = factors_of(one)
        rest = [f"{key} {value}" for key, value in own.items() if key not in shown and base.get(key) != value]
        table.add_row(name, *(own.get(key, "–") for key in shown), ", ".join(rest))
    terminal = console()
    terminal.print(fitting(table, terminal))
    terminal.print(fitting(programs_table([one for one in found.values() if one.program]), terminal))


@app.command("show")
def show_scaffold(name: NameArgument, as_json: JsonOption = False) -> None:
    """Show one: factors, prompt, tool schemas, source hash, tokens before the first step."""
    import json

    from evals.commands.output import print_json

    facts = described(definition(name))
    if as_json:
        print_json(facts)
        return
    lines = [f"{key}: {facts[key]}" for key in ("name", "about", "source", "sha256")]
    lines += [f"{key}: {value}" for key, value in facts["factors"].items()]
    if "run" in facts:
        lines += [f"environment: {name}={value}" for name, value in facts["environment"].items()]
        lines += ["", "what it is told:", facts["task"], "", "run:", facts["run"].rstrip()]
    elif facts["tokens_before_first_step"] is None:
        lines.append("a class of its own: nothing is known of what it does")
    else:
        lines.append(
            f"tokens before the first step: about {facts['tokens_before_first_step']}, without the report"
        )
        lines += ["", "system prompt:", facts["system"], "", "first message:", facts["task"]]
        lines += ["", *(json.dumps(schema, indent=1) for schema in facts["tools"])]
    typer.echo("\n".join(lines))


@app.command("diff")
def diff_scaffolds(first: NameArgument, second: NameArgument, as_json: JsonOption = False) -> None:
    """Name the factors in which two scaffolds differ, and whether their words do."""
    from evals.commands.output import print_json
    from scaffolds.factors import difference
    from tasks.errors import UserError

    one, two = definition(first), definition(second)
    if strange := [each.name for each in (one, two) if not (each.factors or each.program)]:
        raise UserError(f"{strange[0]} is a class of its own: nothing is known of its factors")
    found = difference(factors_of(one), factors_of(two))
    if as_json:
        print_json(found)
        return
    typer.echo("\n".join(found) or "they differ in no factor")


def programs_table(found: Sequence[Definition]) -> Table:
    """Agent programs that run in the sandbox; what they send a model is their own."""
    from rich.table import Table

    table = Table("program", "package", "Node", "Python", "about", box=None)
    table.columns[0].no_wrap = True
    for one in found:
        assert one.program
        table.add_row(
            one.name,
            one.program.package,
            one.program.node or "–",
            one.program.python or "–",
            one.program.about,
        )
    return table


def definition(given: str) -> Definition:
    from scaffolds.catalog import find

    return find(given)


def factors_of(one: Definition) -> dict[str, str]:
    """As a plan without a word of its own has them; what a scaffold leaves open is marked."""
    from scaffolds.base import Budget, ToolCallMode
    from scaffolds.sampling import SERVERS

    found = one.in_force(Budget(), ToolCallMode.NATIVE)
    if one.factors and one.factors.calls is None and "calls" in found:
        found["calls"] = PLANS
    if found.get("sampling") == SERVERS:
        found["sampling"] = PLANS
    return found


def described(one: Definition) -> dict[str, Any]:
    """Everything, for machines."""
    from scaffolds.assembled import Assembled
    from scaffolds.base import Settings
    from tasks.task import Brief

    facts: dict[str, Any] = {"name": one.name, "source": one.source, "sha256": one.sha256}
    if one.program:
        said = one.program.model_dump(include={"about", "run", "environment", "task", "transcript", "drops"})
        return facts | said | {"factors": factors_of(one), "tokens_before_first_step": None}
    if one.factors is None:
        return facts | {"about": "", "factors": {}, "tokens_before_first_step": None}
    brief = Brief(task_id="", repo="REPOSITORY", problem_statement="REPORT")
    system, task, sent = Assembled(one.factors, Settings()).first_request(brief)
    size = len(system) + len(task) + sum(len(str(schema)) for schema in sent)
    return facts | {
        "about": one.factors.about,
        "factors": factors_of(one),
        "tokens_before_first_step": round(size / CHARACTERS_A_TOKEN),
        "system": system,
        "task": task,
        "tools": [schema["function"] for schema in sent],
    }
