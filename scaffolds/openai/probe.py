"""What a server says of itself, asked once before a run and kept in its manifest; and waiting for one to come back.

Which servers are known and where each keeps its facts is `dialects.TABLE`; any other may answer `/v1/models`. A server's
own words are recorded, never trusted: quantisation and window are what it claims (`evals.serve.doctor` looks).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import httpx2
import openai
from pydantic import Field

from scaffolds.model import ContextOverflow, ModelError, ToolSchema
from scaffolds.openai.client import OpenAIModel
from scaffolds.openai.config import Deadlines, ModelConfig, Retries
from scaffolds.openai.dialects import TABLE, UNKNOWN, Place
from scaffolds.openai.errors import Transient
from scaffolds.openai.transport import refuse_web_page, sdk_client, transport_errors
from tasks.errors import MachineError, UserError
from tasks.task import Frozen
from tasks.untrusted import clean, loads

PATIENCE_SECONDS = 5.0
"""For one question to a server that should answer at once."""
LOADING_SECONDS = 300.0
"""How long `probe` waits for a server that says that it is loading its model."""
POLL_SECONDS = 2.0
SHORT_TOKENS = 16
SHORT_DEADLINES = Deadlines(first_byte=60, total=120)


class ServerFacts(Frozen):
    """For the manifest. None = the server does not say."""

    base_url: str
    dialect: str
    """A name of `dialects.TABLE`."""
    models: tuple[str, ...]
    version: str | None = None
    window: int | None = None
    """Tokens of context that one request may use."""
    slots: int | None = None
    """Requests that it works on at once."""
    quantization: str | None = None
    model_path: str | None = None
    parameters: int | None = None
    weight_bytes: int | None = None
    vocabulary: int | None = None
    root: str | None = None
    """What vLLM loaded under the model's name: an id on a hub, or a path."""
    digest: str | None = None
    """Ollama's, of the weights."""
    template_sha256: str | None = None
    defaults: dict[str, Any] = Field(default_factory=dict)
    """Sampling that the server uses where we send none."""


def probe(config: ModelConfig) -> ServerFacts:
    """Ask. Raises `MachineError` when nobody answers, `UserError` when the model is not among the server's."""
    with sdk_client(config) as client:
        _wait_while_loading(client, config)
        entries = _models(client, config)
        names = tuple(clean(str(entry.get("id"))) for entry in entries)
        ours = next((entry for entry in entries if config.model in _aliases(entry)), None)
        dialect, more = _details(client, config, entries)
    _check_name(config, names, found=ours is not None)
    facts = {**_from_listing(ours or (entries[0] if len(entries) == 1 else {})), **more}
    return ServerFacts(base_url=config.base_url, dialect=dialect, models=names, **facts)


def served_names(config: ModelConfig) -> tuple[str, ...]:
    """The models of its list, as `probe` would find them. Raises `MachineError`, `UserError`."""
    with sdk_client(config) as client:
        _wait_while_loading(client, config)
        return tuple(clean(str(entry.get("id"))) for entry in _models(client, config))


def page_text(config: ModelConfig, path: str) -> str:
    """What stands on one of the server's own pages, as text; "" where it has none."""
    with sdk_client(config) as client:
        try:
            with transport_errors():
                options: Any = {"timeout": PATIENCE_SECONDS}
                return client.get(config.root + path, cast_to=httpx2.Response, options=options).text
        except (Transient, ModelError, ContextOverflow):
            return ""


def wait_until_up(
    config: ModelConfig, stopping: Callable[[], bool] = lambda: False, *, poll: float = POLL_SECONDS
) -> bool:
    """Block until the server answers `/v1/models` and puts no short prompt off, or `stopping()`; True if it was away at all."""
    was_away = False
    with sdk_client(config) as client:
        while not stopping():
            if _is_up(client, config):
                return was_away
            was_away = True
            time.sleep(poll)
    return was_away


def short_prompt(config: ModelConfig, tools: Sequence[ToolSchema] = ()) -> ModelError | None:
    """What keeps the server from answering a short prompt, asked once; None where nothing does.

    Sent with the run's own sampling: what it refuses here is a setting, a key or an account, and no prompt.
    """
    sampling = config.sampling.model_copy(update={"max_tokens": SHORT_TOKENS})
    retries = Retries(attempts=1)
    short = config.model_copy(update={"sampling": sampling, "retries": retries, "deadlines": SHORT_DEADLINES})
    with sdk_client(short) as client:
        try:
            OpenAIModel(short, client=client).complete([{"role": "user", "content": "Say yes."}], tools=tools)
        except ContextOverflow:
            return None
        except ModelError as error:
            return error
    return None


def _is_up(client: openai.OpenAI, config: ModelConfig) -> bool:
    try:
        _ask(client, "/models")
    except Transient:
        return False
    except (ModelError, ContextOverflow):
        return True  # it answers; what it thinks of us is not the question here
    return not _is_loading(client, config) and not _puts_off(config)


def _puts_off(config: ModelConfig) -> bool:
    """Whether its pages are there and every prompt is put off (503), as behind a router whose model loads."""
    error = short_prompt(config)
    return error is not None and error.__cause__ is not None and _status(error.__cause__) == 503


def _is_loading(client: openai.OpenAI, config: ModelConfig) -> bool:
    """llama-server lists its model while it loads; only `/health` says that it is not ready. Others have no such page."""
    try:
        _ask(client, f"{config.root}/health")
    except Transient as error:
        return _status(error) == 503
    except (ModelError, ContextOverflow):
        return False
    return False


def _wait_while_loading(client: openai.OpenAI, config: ModelConfig) -> None:
    deadline = time.monotonic() + LOADING_SECONDS
    while _is_loading(client, config):
        if time.monotonic() > deadline:
            raise MachineError(
                f"the model server at {config.base_url} is still loading after {LOADING_SECONDS:g} s"
            )
        time.sleep(POLL_SECONDS)


def _models(client: openai.OpenAI, config: ModelConfig) -> list[Mapping[str, Any]]:
    """The server's list; empty for a server that has none."""
    try:
        body = _ask(client, "/models")
    except Transient as error:
        raise MachineError(
            f"no model server answers at {config.base_url} ({error}): {_advice(config, str(error))}"
        ) from error
    except (ModelError, ContextOverflow) as error:
        if _status(error) == 404:
            return []
        raise UserError(f"the model server at {config.base_url} refuses us: {error}") from error
    data = body.get("data")
    return [entry for entry in data if isinstance(entry, Mapping)] if isinstance(data, list) else []


def _advice(config: ModelConfig, error: str) -> str:
    """What to do about a server that cannot be reached."""
    if any(word in error for word in ("SSL", "certificate", "TLS")):
        return (
            "for a server without TLS write http://, for one with a certificate of its own set SSL_CERT_FILE"
        )
    hung_up = any(word in error for word in ("reset by peer", "disconnected without", "illegal status line"))
    tls = "; where it speaks TLS write https://" if hung_up and config.base_url.startswith("http:") else ""
    return f"start it, or pass --base-url{tls}"


def _check_name(config: ModelConfig, names: tuple[str, ...], *, found: bool) -> None:
    """A name that the server does not list is refused, also by servers that ignore it: the record would be wrong."""
    if names and not found:
        raise UserError(f"{config.base_url} does not serve {config.model!r}; it has: {', '.join(names[:20])}")


def _aliases(entry: Mapping[str, Any]) -> set[str]:
    id_ = str(entry.get("id"))
    return {id_, id_.removesuffix(":latest"), *map(str, entry.get("aliases") or ())}


def _details(
    client: openai.OpenAI, config: ModelConfig, entries: list[Mapping[str, Any]]
) -> tuple[str, dict[str, Any]]:
    """Which server it is, and what its own pages add; each page is asked for once."""
    owner = str(entries[0].get("owned_by")) if entries else ""

    @cache
    def page(path: str) -> Mapping[str, Any]:
        return _get(client, config.root + path)

    def seen(place: Place) -> bool:
        return _at(page(place.page), place.way, config.model) is not None

    found = next((dialect for dialect in TABLE if any(map(seen, dialect.signs))), None)
    found = found or next((dialect for dialect in TABLE if dialect.owner and dialect.owner == owner), UNKNOWN)
    facts = {fact: _at(page(place.page), place.way, config.model) for fact, place in found.facts.items()}
    return found.name, _keep(**{fact: SHAPES.get(fact, _plain)(value) for fact, value in facts.items()})


def _at(value: Any, way: str, model: str) -> Any:
    """What stands at a place (`dialects.Place`); None where the way leads nowhere."""
    for step in way.split("."):
        if step == "*":
            entries = value if isinstance(value, list) else []
            value = next((e for e in entries if isinstance(e, Mapping) and model in _names(e)), None)
        else:
            value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _names(entry: Mapping[str, Any]) -> set[str]:
    names = {str(entry[key]) for key in ("name", "model", "id") if entry.get(key)}
    return names | {name.removesuffix(":latest") for name in names}


SAMPLING = ("temperature", "top_k", "top_p", "min_p")


def _plain(value: Any) -> Any:
    return value


def _defaults(value: Any) -> dict[str, Any] | None:
    return {name: value[name] for name in SAMPLING if name in value} if isinstance(value, Mapping) else None


SHAPES: Mapping[str, Callable[[Any], Any]] = {
    "version": lambda value: None if value is None else str(value),
    "template_sha256": lambda text: hashlib.sha256(clean(str(text)).encode()).hexdigest() if text else None,
    "defaults": _defaults,
}
"""What is made of a fact before it is kept, where that is not the fact itself."""


def _from_listing(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What `/v1/models` itself may hold: llama-server's `meta`, vLLM's and SGLang's `max_model_len`."""
    meta = entry.get("meta") or {}
    return _keep(
        window=meta.get("n_ctx") or entry.get("max_model_len"),
        quantization=meta.get("ftype"),
        parameters=meta.get("n_params"),
        weight_bytes=meta.get("size"),
        vocabulary=meta.get("n_vocab"),
        root=entry.get("root"),
    )


def _keep(**facts: Any) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value is not None}


def _status(error: BaseException) -> int | None:
    cause = error.__cause__
    return cause.status_code if isinstance(cause, openai.APIStatusError) else None


def _get(client: openai.OpenAI, path: str) -> Mapping[str, Any]:
    """The JSON object at `path`, empty where there is none."""
    try:
        return _ask(client, path)
    except (Transient, ModelError, ContextOverflow):
        return {}


def _ask(client: openai.OpenAI, path: str) -> Mapping[str, Any]:
    """The same, with the errors of `transport_errors`; no JSON counts as an empty object, a web page as a refusal."""
    with transport_errors():
        response = client.get(path, cast_to=httpx2.Response, options={"timeout": PATIENCE_SECONDS})
    refuse_web_page(response, response.content)
    try:
        body = loads(response.content)
    except ValueError:
        return {}
    return body if isinstance(body, Mapping) else {}
