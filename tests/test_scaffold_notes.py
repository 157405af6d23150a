"""What a user is told before a run: what a preset leaves out, and which setting of other clients is not read."""

from __future__ import annotations

import pytest

from evals.commands import session
from evals.run.plan import load_plan
from tasks.errors import UserError

SERVER = {"model.base_url": "http://127.0.0.1:8080/v1", "model.model": "m"}


def test_what_a_preset_leaves_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    plan = load_plan(None, {"preset": "swe-agent-1.1.0", **SERVER})
    assert "the shell that keeps its state" in " ".join(session.notes(plan))
    assert session.notes(load_plan(None, SERVER)) == []


@pytest.mark.parametrize("scaffold", ["bash", "gold"])
def test_an_address_in_the_environment_is_said_to_be_ignored(
    scaffold: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere:1/v1")
    plan = load_plan(None, {"scaffolds": [scaffold]})
    if scaffold == "bash":
        with pytest.raises(UserError, match="OPENAI_BASE_URL is not read"):
            session.check_scaffolds(plan)
    assert session.notes(plan) == []
    (line,) = session.notes(load_plan(None, SERVER))
    assert line == "OPENAI_BASE_URL is not read: the server is http://127.0.0.1:8080/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1/")
    assert session.notes(load_plan(None, SERVER)) == []
