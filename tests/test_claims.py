"""The shipped claims say what their sources say, and a claims file of somebody else's is read or refused clearly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evals.claims.catalog import find, matching, parse, read, shipped
from evals.claims.claim import MeasuredBy, Status, same_benchmark
from evals.commands.application import app
from tasks.errors import UserError

GOOD = """
maker: Someone
protocols: {p: {scaffold: bash, temperature: 1.0}}
sources: {s: {title: A card}}
claims:
  - {id: m/swe-bench-verified, model: M, benchmark: swe-bench-verified, score: 52.0, protocol: p, source: s, status: verified}
"""


def test_every_number_of_the_collection_is_carried(shared_data: Path) -> None:
    rows = json.loads((shared_data / "claims.json").read_text())
    carried = {(claim.model.split(" (")[0].lower(), float(claim.score)) for claim in shipped() if claim.score}
    numbers = [row for row in rows if isinstance(row["score"], int | float) and row["status"] == "verified"]
    assert len(numbers) > 130
    names = {
        "gpt-oss-120b": "gpt-oss-120b",
        "deepseek v3.2": "deepseek-v3.2",
        "kimi-k2 instruct": "kimi k2 instruct",
    }
    for row in numbers:
        model = row["model"].split(" (")[0].lower()
        assert (names.get(model, model), row["score"]) in carried, row["claim_id"]


def test_protocol_facts_are_carried(shared_data: Path) -> None:
    """n, context, output limit, runs and sampling of a sourced row stand in some claim with its score."""
    for row in json.loads((shared_data / "claims.json").read_text()):
        if row["status"] != "verified" or not isinstance(row["score"], int | float):
            continue
        facts = [("runs", row["n_runs_averaged"]), ("temperature", row["sampling"]["temperature"])]
        facts = [(key, value) for key, value in facts if isinstance(value, int | float)]
        same = [
            c for c in shipped() if c.score and float(c.score) == row["score"] and c.n_tasks == row["n_tasks"]
        ]
        fitting = [c for c in same if all(getattr(c.protocol, key) == value for key, value in facts)]
        assert fitting, row["claim_id"]


def test_unknown_stays_unknown() -> None:
    protocol = find("qwen3.6-27b/swe-bench-verified").protocol
    assert (protocol.temperature, protocol.context_window) == (1.0, 200_000)
    assert (protocol.runs, protocol.turn_limit, protocol.top_k, protocol.quantization) == (
        None,
        None,
        None,
        None,
    )


def test_a_restated_number_keeps_both() -> None:
    after = find("qwen3.5-27b/swe-bench-verified@2026-04")
    before = find(after.restates or "")
    assert (str(before.score), str(after.score)) == ("72.4", "75.0")


@pytest.mark.parametrize("name", ["qwen3.6-27b/attribution@press", "qwen3.6-27b/aime-2026@press"])
def test_contradicted_claims_are_kept_and_say_by_what(name: str) -> None:
    claim = find(name)
    assert claim.status is Status.CONTRADICTED
    assert claim.party is MeasuredBy.PRESS
    assert claim.contradicted_by


def test_links_lead_somewhere() -> None:
    for claim in shipped():
        assert (claim.status is Status.CONTRADICTED) == (claim.contradicted_by is not None), claim.id
        assert claim.restates is None or find(claim.restates)


def test_rounding_is_read_from_the_decimals() -> None:
    (claim,) = parse(GOOD, "x")
    assert (claim.rate, claim.rounding) == (0.52, 0.0005)
    (whole,) = parse(GOOD.replace("52.0", "52"), "x")
    assert whole.rounding == 0.005


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("maker: Someone", "maker: [", "is not YAML"),
        ("protocol: p", "protocol: q", "does not define"),
        ("status: verified", "status: true", "status"),
        ("temperature: 1.0", "temprature: 1.0", "temprature"),
        ("score: 52.0", "score: .nan", "finite"),
        ("id: m/swe-bench-verified", "id: '../x'", "id"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(old: str, new: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint) as caught:
        parse(GOOD.replace(old, new), "mine.yaml")
    assert "mine.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_same_id_twice_is_refused() -> None:
    twice = GOOD + GOOD.strip().splitlines()[-1].replace("m/swe-bench-verified", "m/swebench-verified") + "\n"
    with pytest.raises(UserError, match="used twice"):
        parse(twice, "x")


def test_an_ambiguous_name_lists_its_candidates() -> None:
    with pytest.raises(UserError, match=r"@2026-02.*@2026-04"):
        find("qwen3.5-27b/swe-bench-verified")
    with pytest.raises(UserError, match="no claim"):
        find("no-such-model/swe-bench-verified")


@pytest.mark.parametrize(
    "name", ["swebench-verified", "princeton-nlp/SWE-bench_Verified", "swe-bench-verified@2"]
)
def test_spellings_of_one_benchmark(name: str) -> None:
    assert same_benchmark("swe-bench-verified", name)
    assert not same_benchmark("swe-bench-lite", name)


def test_matching_filters() -> None:
    found = matching(shipped(), "qwen3.6-27b", "swebench-verified")
    assert {claim.id for claim in found} == {
        "qwen3.6-27b/swe-bench-verified",
        "qwen3.6-27b/swe-bench-verified@press",
    }


def test_commands(tmp_path: Path) -> None:
    runner = CliRunner()
    listed = runner.invoke(app, ["claims", "list", "--model", "qwen3.6-27b", "--json"])
    assert "qwen3.6-27b/swe-bench-verified" in {row["id"] for row in json.loads(listed.output)}
    shown = runner.invoke(app, ["claims", "show", "qwen3.6-27b/swe-bench-verified"]).output
    assert "score: 77.2" in shown
    assert "not stated: prompt" in shown
    mine = tmp_path / "mine.yaml"
    mine.write_text(GOOD.replace("model: M", 'model: "\\e[31mM"'))
    assert "1 claim\n" in runner.invoke(app, ["claims", "check", str(mine)]).output
    assert isinstance(
        runner.invoke(app, ["claims", "check", str(tmp_path / "none.yaml")]).exception, UserError
    )


@pytest.mark.parametrize("text", ["", "- a", "3"])
def test_a_file_that_is_no_mapping_is_told_what_it_lacks(tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(UserError, match="must hold keys and values, `maker:` and `claims:`"):
        read(tmp_path / "mine.yaml")


def test_a_dash_in_a_table_is_not_stated() -> None:
    for name in ("qwen3.6-35b-a3b/swe-bench-pro@press", "qwen3.6-35b-a3b/skillsbench@press"):
        assert find(name).status is Status.NOT_STATED


def test_the_newer_models_are_there_with_their_sources() -> None:
    for name in (
        "deepseek-v4-pro/swe-bench-verified",
        "kimi-k2.6/swe-bench-pro",
        "glm-5.1/swe-bench-pro",
        "glm-4.6/swe-bench-verified@restated",
        "minimax-m2.7/swe-bench-pro",
        "claude-opus-4.7/swe-bench-verified",
        "claude-sonnet-4.6/swe-bench-verified",
        "gemini-3.1-pro/swe-bench-verified",
        "deepseek-v4-flash/swe-bench-verified",
        "kimi-k3/terminal-bench-2.1",
        "glm-5.3/terminal-bench-2.1",
    ):
        assert find(name).status is Status.SECONDARY
        assert find(name).source.date
    protocol = find("kimi-k2.6/swe-bench-pro").protocol
    assert (protocol.temperature, protocol.top_p, protocol.context_window) == (1.0, 1.0, 262_144)


def test_llama_4_is_counted_from_its_public_list(shared_data: Path) -> None:
    claim = find("llama-4-maverick/swe-bench-verified@mini-swe-agent-v0")
    rows = json.loads((shared_data / "verified_submissions.json").read_text())["submissions"]
    (solved,) = [len(row["resolved_ids"]) for row in rows if row["id"] in (claim.evidence or "")]
    assert claim.rate == solved / 500
    assert claim.id in (find("llama-4-maverick/swe-bench-verified@press").contradicted_by or "")
