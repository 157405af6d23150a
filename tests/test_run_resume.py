"""What a resume binds: the model behind the name, whatever its address; and what a refused prompt is told apart by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evals.commands import session
from evals.commands.server import make_server_check, probe_server
from evals.run.manifest import Manifest, begin_or_resume, compose
from evals.run.plan import RunPlan
from scaffolds.model import Trouble
from scaffolds.openai.config import Deadlines, ModelConfig, Retries
from scaffolds.openai.probe import short_prompt
from tasks.errors import UserError
from tests.fakes.openai_server import Answer, FakeServer, error, say
from tests.test_run import TASKS

LARGE = {
    "n_params": 27_000_000_000,
    "size": 28_000_000_000,
    "ftype": "Q8_0",
    "n_vocab": 151936,
    "n_ctx": 32768,
}
SMALL = {**LARGE, "n_params": 4_000_000_000, "size": 1_600_000_000, "ftype": "Q2_K"}


def serves(meta: dict[str, Any], path: str = "/models/a.gguf", **entry: Any) -> dict[str, Any]:
    """The pages of a llama-server."""
    props = {
        "default_generation_settings": {"n_ctx": meta.get("n_ctx")},
        "model_path": path,
        "total_slots": 1,
    }
    return {"/v1/models": {"data": [{"id": "fake", "meta": meta, **entry}]}, "/props": props}


def plan_for(server: FakeServer, **model: Any) -> RunPlan:
    return RunPlan(model=ModelConfig(base_url=server.url, model="fake", **model))


def manifest_for(plan: RunPlan) -> Manifest:
    server = probe_server(plan)
    return compose(plan, TASKS, run_id="r", server=server, base_image=None, excluded={})


def resume(directory: Path, pages: dict[str, Any], **model: Any) -> Manifest:
    with FakeServer(say("hi"), get=pages) as server:
        return begin_or_resume(directory, manifest_for(plan_for(server, **model)))


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (serves(SMALL), "number of parameters was 27000000000, now it is 4000000000"),
        (serves({**LARGE, "ftype": "Q2_K"}), "quantization"),
        (serves({**LARGE, "n_ctx": 4096}), "context window"),
        (serves(LARGE, "/models/fine-tune.gguf"), "its file was"),
        (serves(LARGE, root="org/other"), "root"),
    ],
)
def test_another_model_behind_the_same_name_is_refused(
    tmp_path: Path, other: dict[str, Any], named: str
) -> None:
    resume(tmp_path, serves(LARGE, root="org/one"))
    with pytest.raises(UserError, match=named):
        resume(tmp_path, other)


def test_the_same_model_elsewhere_is_resumed(tmp_path: Path) -> None:
    """Another port, another directory, other patience."""
    before = resume(tmp_path, serves(LARGE))
    after = resume(
        tmp_path,
        serves(LARGE, "D:\\weights\\a.gguf"),
        deadlines=Deadlines(first_byte=9),
        retries=Retries(attempts=2),
    )
    assert after == before


def test_what_a_server_does_not_say_is_not_held_against_it(tmp_path: Path) -> None:
    resume(tmp_path, serves(LARGE))
    resume(tmp_path, {})


def test_other_sampling_is_still_refused(tmp_path: Path) -> None:
    resume(tmp_path, serves(LARGE))
    with pytest.raises(UserError, match=r"model\.sampling\.temperature"):
        resume(tmp_path, serves(LARGE), sampling={"temperature": 0.1})


def test_a_server_that_comes_back_with_another_model_is_told_from_the_one_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("scaffolds.openai.probe.POLL_SECONDS", 0.01)
    listing = serves(LARGE)["/v1/models"]
    answers: list[Any] = [listing]

    def models() -> Any:
        return answers.pop(0) if len(answers) > 1 else answers[0]

    with FakeServer(say("hi"), get={"/v1/models": models}) as server:
        plan = plan_for(server)
        wait, check = session.make_waiter(plan), make_server_check(plan, manifest_for(plan))
        assert check is not None
        assert not wait(lambda: False)
        answers[:] = [error(503, "loading"), listing]
        assert wait(lambda: False)
        assert check.changed() == ""
        answers[:] = [error(503, "loading"), serves(SMALL)["/v1/models"]]
        assert wait(lambda: False)
        assert "another model" in str(check.changed())


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (say("yes"), ""),
        (error(401, {"error": {"message": "bad key"}}), "refused: the server answered 401: bad key"),
        (
            error(400, {"error": {"message": "tools need a parser"}}),
            "refused: the server answered 400: tools need a parser",
        ),
        (error(503, "busy"), "down: "),
    ],
)
def test_a_short_prompt_tells_a_wrong_setting_from_a_refused_prompt(answer: Answer, said: str) -> None:
    with FakeServer(answer) as server:
        found = short_prompt(ModelConfig(base_url=server.url, model="fake"))
        assert (f"{found.kind}: {found}" if found else "").startswith(said)
        assert bool(found) == bool(said)
        assert server.requests[0].body["max_tokens"] == 16


def test_nobody_answers_a_short_prompt() -> None:
    with FakeServer(say("x")) as server:
        url = server.url
    found = short_prompt(ModelConfig(base_url=url, model="fake"))
    assert found
    assert found.kind is Trouble.DOWN
