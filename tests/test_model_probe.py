"""What servers say of themselves, and waiting for one that is away."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scaffolds.openai import probe as openai_probe
from scaffolds.openai.config import ModelConfig
from scaffolds.openai.probe import probe, wait_until_up
from tasks.errors import MachineError, UserError
from tests.fakes.openai_server import Answer, FakeServer, error, say

PROPS = {
    "default_generation_settings": {"n_ctx": 4096, "params": {"temperature": 0.8, "top_k": 40, "seed": 1}},
    "total_slots": 2,
    "model_ftype": "Q4_K - Medium",
    "model_path": "/m.gguf",
    "build_info": "b1",
    "chat_template": "{{ x }}",
}
LLAMA = {"/props": PROPS}
OLLAMA = {
    "/api/version": {"version": "0.32.9"},
    "/api/ps": {
        "models": [
            {"name": "fake:latest", "context_length": 4096, "details": {"quantization_level": "Q4_K_M"}}
        ]
    },
}
SGLANG = {"/get_server_info": {"version": "0.5", "quantization": "fp8"}}
VLLM = {
    "/version": {"version": "0.26"},
    "/v1/models": {"data": [{"id": "fake", "owned_by": "vllm", "max_model_len": 32768}]},
}
LM_STUDIO = {
    "/api/v0/models": {"data": [{"id": "fake", "loaded_context_length": 8192, "quantization": "4bit"}]}
}
CPP_PYTHON = {"/v1/models": {"data": [{"id": "fake", "owned_by": "me"}]}}


def config(server: FakeServer, model: str = "fake") -> ModelConfig:
    return ModelConfig(base_url=server.url, model=model)


@pytest.mark.parametrize(
    ("pages", "dialect", "window", "quantization", "version"),
    [
        (LLAMA, "llama-server", 4096, "Q4_K - Medium", "b1"),
        (OLLAMA, "ollama", 4096, "Q4_K_M", "0.32.9"),
        (SGLANG, "sglang", None, "fp8", "0.5"),
        (VLLM, "vllm", 32768, None, "0.26"),
        (LM_STUDIO, "lm-studio", 8192, "4bit", None),
        (CPP_PYTHON, "llama-cpp-python", None, None, None),
        ({}, "unknown", None, None, None),
    ],
)
def test_each_server_is_known_by_what_it_answers(
    pages: dict[str, Any], dialect: str, window: int | None, quantization: str | None, version: str | None
) -> None:
    with FakeServer(say(""), get=pages) as server:
        facts = probe(config(server))
    assert (facts.dialect, facts.window, facts.quantization, facts.version) == (
        dialect,
        window,
        quantization,
        version,
    )
    assert facts.models == ("fake",)


def test_a_recorded_llama_server(shared_data: Path) -> None:
    folder = shared_data / "servers/llama-server-qwen1.5b"
    pages = {
        path: json.loads((folder / name).read_text())["response"]["body"]
        for path, name in (("/props", "props.json"), ("/v1/models", "models.json"))
    }
    with FakeServer(say(""), get=pages) as server:
        facts = probe(config(server, "qwen2.5-coder-1.5b-instruct"))
    assert (facts.dialect, facts.window, facts.slots, facts.parameters) == (
        "llama-server",
        8192,
        2,
        1777088000,
    )
    assert facts.template_sha256 is not None
    assert facts.defaults["top_k"] == 40


def test_a_wrong_name_is_told_with_the_names_there_are() -> None:
    with FakeServer(say(""), models=("a", "b")) as server, pytest.raises(UserError, match="it has: a, b"):
        probe(config(server, "c"))


def test_a_wrong_name_is_refused_also_where_the_server_would_ignore_it() -> None:
    with (
        FakeServer(say(""), models=("real",), get=LLAMA) as server,
        pytest.raises(UserError, match="it has: real"),
    ):
        probe(config(server, "asked"))


def test_nobody_there_is_one_line() -> None:
    with FakeServer(say("")) as server:
        gone = config(server)
    with pytest.raises(MachineError, match="no model server answers at http") as caught:
        probe(gone)
    assert "\n" not in str(caught.value)


def test_a_refusal_is_the_users_to_mend() -> None:
    refusal = {"/v1/models": error(401, {"error": {"message": "bad key"}})}
    with FakeServer(say(""), get=refusal) as server, pytest.raises(UserError, match="bad key"):
        probe(config(server))


def test_a_web_page_in_the_place_of_an_api_is_one_line() -> None:
    page = Answer([b"<!DOCTYPE html><html></html>"], content_type="text/html")
    pages = {"/v1/models": page}
    with FakeServer(say(""), get=pages) as server, pytest.raises(UserError, match=r"web page.*--base-url"):
        probe(config(server))


def test_a_refused_key_names_the_option() -> None:
    refusal = {"/v1/models": error(401, {"error": {"message": "bad key"}})}
    with FakeServer(say(""), get=refusal) as server, pytest.raises(UserError, match="--api-key-env"):
        probe(config(server))


@pytest.mark.parametrize("body", [Answer([b"no json"]), {"data": 5}, {"data": [1, None]}, error(404, "")])
def test_a_list_that_is_none_stops_nobody(body: Any) -> None:
    with FakeServer(say(""), get={"/v1/models": body}) as server:
        assert probe(config(server)).models == ()


LOADING = error(503, {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}})


def loading(times: int) -> Callable[[], Any]:
    """A `/health` page that says so many times that the model is not there yet."""
    answers = iter([LOADING] * times)
    return lambda: next(answers, {"status": "ok"})


def test_a_server_that_loads_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """llama-server lists its model while it loads; only `/health` tells."""
    monkeypatch.setattr(openai_probe, "POLL_SECONDS", 0.01)
    health = loading(3)
    with FakeServer(say(""), get={"/health": health}) as server:
        assert probe(config(server)).models == ("fake",)
    assert health() == {"status": "ok"}


def test_a_server_whose_pages_answer_and_which_puts_every_prompt_off_is_waited_for() -> None:
    with FakeServer(LOADING, LOADING, say("yes")) as server:
        assert wait_until_up(config(server), poll=0.01) is True
        assert len(server.requests) == 3


def test_waiting_ends_when_the_server_is_back_or_the_run_stops() -> None:
    with FakeServer(say(""), get={"/health": loading(3)}) as server:
        assert wait_until_up(config(server), poll=0.01) is True
        assert wait_until_up(config(server), poll=0.01) is False
        gone = config(server)
    answers = iter([False, False, True])
    assert wait_until_up(gone, lambda: next(answers), poll=0.01) is True
