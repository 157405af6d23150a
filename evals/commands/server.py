"""What a run asks its model server: who it is, before the first attempt; and later whether it is still the same."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from evals.run.admission import AT_FIRST, Admission, most_at_once
from evals.run.manifest import Manifest, model_change
from evals.run.plan import RunPlan
from evals.run.same_server import ServerCheck
from scaffolds.base import ToolCallMode
from scaffolds.model import ModelError, Served, Trouble
from tasks.errors import MachineError, UserError

if TYPE_CHECKING:
    from scaffolds.openai.config import ModelConfig

GO_ON = "or go on with --set same_server=false"


def probe_server(plan: RunPlan) -> dict[str, Any] | None:
    """What the server says of itself. Raises `MachineError` when it is not there, `UserError` for a wrong model."""
    if plan.model is None:
        return None
    facts = _facts(plan.model)
    if plan.same_server:
        known = who_answers(plan.model)
        if not known:
            refuse_mute(plan)
        facts |= known
        _check_name(plan.model, facts)
    return facts


def refuse_mute(plan: RunPlan) -> None:
    """Raises `UserError` for a server that will not answer a short prompt with the run's own settings, or never ends to.

    One that is away, or loads its model, is waited for later.
    """
    trouble = make_short_prompt(plan)()
    if trouble is None or trouble.kind is Trouble.DOWN:
        return
    look = ": look at its log" if trouble.kind is Trouble.STALLED else ""
    raise UserError(f"{plan.model.base_url if plan.model else ''} does not chat: {trouble}{look}")


def make_short_prompt(plan: RunPlan) -> Callable[[], ModelError | None]:
    """How the run tells a refused prompt from a refused setting."""

    def ask() -> ModelError | None:
        from scaffolds.openai.probe import short_prompt
        from scaffolds.tools import Submit

        tools = () if plan.tool_calls.in_text else (Submit.schema,)
        return short_prompt(plan.model, tools) if plan.model else None

    return ask


def _facts(config: ModelConfig) -> dict[str, Any]:
    from scaffolds.openai.probe import probe

    facts: dict[str, Any] = probe(config).model_dump(mode="json")
    return facts


def examined(plan: RunPlan, facts: dict[str, Any]) -> dict[str, Any]:
    """The facts with what the doctor's short look found: for the manifest, and for the lines before the first attempt."""
    if plan.model is None:
        return facts
    from evals.serve.doctor.examine import examine
    from evals.serve.doctor.finding import Form
    from scaffolds.openai.probe import ServerFacts

    known = ServerFacts.model_validate(
        {name: facts[name] for name in ServerFacts.model_fields if name in facts}
    )
    found = examine(plan.model, known, Form.SHORT, tools=plan.tool_calls is ToolCallMode.NATIVE)
    return facts | {"doctor": [finding.model_dump(mode="json") for finding in found.findings]}


def who_answers(config: ModelConfig) -> dict[str, Any]:
    """How a server's answers are signed, and its canary. Raises `UserError` for two that share the address."""
    from scaffolds.openai.canary import canary

    served, text = canary(config)
    if len(served) > 1:
        raise UserError(
            f"two servers answer at {config.base_url}: {' and '.join(map(_signature, served[:2]))}: give the address of "
            f"one of them, {GO_ON}"
        )
    return _signs(served[0], text) if served else {}


def _signs(served: Served, text: str | None) -> dict[str, Any]:
    facts = {"answers_as": served.model, "fingerprint": served.fingerprint, "canary": text}
    return {name: value for name, value in facts.items() if value}


def _signature(served: Served) -> str:
    return " ".join(part for part in served if part) or "no name"


def _check_name(config: ModelConfig, facts: dict[str, Any]) -> None:
    """A server without a list of models may take any name: then its answers must bear the one that was asked for."""
    asked, named = config.model.casefold(), str(facts.get("answers_as", "")).casefold()
    if named and not facts["models"] and asked not in named and named not in asked:
        raise UserError(
            f"{config.base_url} takes any name: asked for {config.model!r}, it answers as {facts['answers_as']!r}: "
            f"give that name with --model, {GO_ON}"
        )


def make_admission(plan: RunPlan, manifest: Manifest) -> Admission:
    """How many attempts at once: as the plan says, or as it turns out to be best, from the server's slots on.

    More than its slots would wait for one, and take the prefix that another one left there.
    """
    if plan.workers != "auto":
        return Admission(plan.workers)
    if plan.model is None:
        return Admission(os.cpu_count() or 1)
    slots = (manifest.server or {}).get("slots")
    most = min(slots or most_at_once(), most_at_once())
    return Admission(most, first=slots or AT_FIRST, streams=plan.model.stream)


def make_counters(plan: RunPlan, manifest: Manifest) -> Callable[[], dict[str, float]] | None:
    """How the run asks its server for its counters; None for a server that shows none."""
    config, dialect = plan.model, (manifest.server or {}).get("dialect", "")
    if config is None:
        return None
    from scaffolds.openai.metrics import server_counters

    ask = partial(server_counters, config, dialect)
    return ask if ask() else None


def make_server_check(plan: RunPlan, manifest: Manifest) -> ServerCheck | None:
    """How the run asks whether the server is still the one that it began with."""
    config, before = plan.model, manifest.server or {}
    if config is None:
        return None

    def changed() -> str | None:
        try:
            now = _facts(config)
            now |= still(config, before) if plan.same_server else {}
        except MachineError:
            return None
        except UserError as error:
            return str(error)
        return model_change(before, now)

    names = Served(before.get("answers_as", ""), before.get("fingerprint", ""))
    return ServerCheck(names if plan.same_server else None, changed)


def still(config: ModelConfig, before: dict[str, Any]) -> dict[str, Any]:
    """The same facts as `who_answers` for one question where the answer is the known one, as it nearly always is.

    Raises `MachineError` when nobody answers.
    """
    from scaffolds.openai.canary import canary

    served, text = canary(config, at_once=0)
    if not served and before.keys().isdisjoint(_signs(Served("-", "-"), "-")):
        return {}  # it never took the prompt
    if not served:
        raise MachineError(f"no model server answers at {config.base_url}")
    signs = _signs(served[0], text)
    return signs if all(signs.get(name) == before.get(name) for name in signs) else who_answers(config)
