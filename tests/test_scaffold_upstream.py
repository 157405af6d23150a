"""What presets and tools say of upstream, against upstream's own files where its package is installed; none is imported.

`pip install --no-deps --target DIR inspect-evals==0.28.0 inspect-ai==0.3.285 harbor==0.26.0 openhands-tools==1.58.2 mini-swe-agent==2.4.6`
(the last three want Python 3.12: add `--python-version 3.13 --only-binary=:all:`), and `PYTHONPATH=DIR`. SWE-agent, Trae, Live-SWE-agent
and OpenHands' benchmarks are on no index at these versions: a checkout of each in a directory of that name in $ASCLAIMED_UPSTREAM.
"""

from __future__ import annotations

import ast
import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from scaffolds import editor, windowed
from scaffolds.preset import Preset, load_preset, names
from scaffolds.text import LONGEST_OBSERVATION, Clip, Shape
from scaffolds.toolsets import TOOLSETS

CHECKOUTS = os.environ.get("ASCLAIMED_UPSTREAM", "")


def package(name: str, file: str) -> Path:
    """A file of an installed package, which skips where there is none; its dependencies are not needed."""
    top, _, rest = name.partition(".")
    spec = find_spec(top)
    places = [Path(place) / rest.replace(".", "/") for place in (spec.submodule_search_locations or ())] if spec else []  # fmt: skip
    found = next((place / file for place in places if (place / file).is_file()), None)
    if found is None:
        pytest.skip(f"{name} is not installed, or has no {file}")
    return found


def checkout(name: str, file: str) -> Path:
    path = Path(CHECKOUTS) / name / file
    if not CHECKOUTS or not path.is_file():
        pytest.skip(f"no checkout of {name}")
    return path


def constants(path: Path) -> dict[str, Any]:
    """Every name that a Python file gives a plain value, the outermost first; defaults of parameters and of fields, too."""
    found: dict[str, Any] = {}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            keep(found, [t.id for t in targets if isinstance(t, ast.Name)], node.value)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = node.args.args[len(node.args.args) - len(node.args.defaults) :]
            for argument, default in zip(given, node.args.defaults, strict=True):
                keep(found, [argument.arg], default)
    return found


def keep(found: dict[str, Any], keys: list[str], value: ast.expr) -> None:
    try:
        plain = ast.literal_eval(value)
    except ValueError:
        return
    for key in keys:
        found.setdefault(key, plain)


def arguments_of(toolset: str, tool: str) -> set[str]:
    schema = TOOLSETS[toolset](Clip())[tool].schema["function"]["parameters"]
    return set(schema["properties"])


def in_preset(name: str, **wanted: object) -> Preset:
    preset = load_preset(name)
    assert {key: getattr(preset, key) for key in wanted} == wanted
    return preset


def test_inspect_evals() -> None:
    preset = load_preset("inspect-evals-0.28.0")
    task = package("inspect_evals", "swe_bench/swe_bench.py")
    assert constants(task)["DEFAULT_MESSAGE_LIMIT"] == preset.steps
    solvers = package("inspect_evals", "swe_bench/solvers.py")
    assert constants(solvers)["DEFAULT_TOOL_TIMEOUT"] == preset.command_seconds
    default = re.search(r"solver=(swe_bench_\w+)\(", task.read_text())
    assert default
    tools = solvers.read_text().partition(f"def {default[1]}(")[2]
    assert re.findall(r"^ +(\w+)\(timeout=tool_timeout\)", tools, re.MULTILINE) == ["python", "bash_session", "text_editor"]  # fmt: skip
    assert "python" in " ".join(preset.not_reproduced)


def test_inspect_ai() -> None:
    calls = package("inspect_ai", "model/_call_tools.py").read_text()
    assert (
        f"active_max_output = {load_preset('inspect-evals-0.28.0').observation_characters // 1024} * 1024"
        in calls
    )  # type: ignore[operator]
    assert "half chars from front and half from back" in package("inspect_ai", "_util/text.py").read_text()
    edit = package("inspect_ai", "tool/_tools/_text_editor.py").read_text()
    theirs = set(re.findall(r"^ {8}(\w+): ", edit.partition("async def execute(")[2].partition(")")[0], re.MULTILINE))  # fmt: skip
    assert theirs - {"insert_text"} == arguments_of("str_replace_editor", "str_replace_editor")


def test_terminus_2() -> None:
    preset = in_preset("terminus-2-0.26.0", temperature=None, observation_shape=Shape.ENDS)
    file = package("harbor", "agents/terminus_2/terminus_2.py")
    found, text = constants(file), file.read_text()
    assert found["max_bytes"] == preset.observation_characters
    assert (found["temperature"], found["parser_name"]) == (None, "json")
    assert f"(default: {preset.steps})" in text
    assert f"min(parsed_cmd.duration, {preset.command_seconds:g})" in text
    assert f"{found['proactive_summarization_threshold']:,} tokens" in " ".join(preset.not_reproduced)


def test_openhands_tools() -> None:
    preset = in_preset("openhands-benchmarks-4e5469e", observation_shape=Shape.ENDS)
    terminal = constants(package("openhands.tools", "terminal/constants.py"))
    assert terminal["MAX_CMD_OUTPUT_SIZE"] == preset.observation_characters
    assert f"{terminal['NO_CHANGE_TIMEOUT_SECONDS']} s without new output" in " ".join(preset.not_reproduced)
    edit = constants(package("openhands.tools", "file_editor/utils/config.py"))
    assert (edit["MAX_RESPONSE_LEN_CHAR"], edit["SNIPPET_CONTEXT_WINDOW"]) == (LONGEST_OBSERVATION, editor.CONTEXT_LINES)  # fmt: skip
    action = package("openhands.tools", "file_editor/definition.py").read_text().partition("class FileEditorAction")[2]  # fmt: skip
    theirs = set(re.findall(r"^    (\w+): .*Field\($", action.partition("\nclass ")[0], re.MULTILINE)) | {
        "path"
    }
    assert theirs == arguments_of("str_replace_editor", "str_replace_editor")


def test_openhands_benchmarks() -> None:
    preset = load_preset("openhands-benchmarks-4e5469e")
    parser = checkout("benchmarks", "benchmarks/utils/args_parser.py").read_text()
    defaults = dict(re.findall(r'"--([\w-]+)",\n\s+type=\w+,\n\s+default=(\w+),', parser))
    assert (int(defaults["max-iterations"]), defaults["n-critic-runs"]) == (preset.steps, "3")
    condenser = checkout("benchmarks", "benchmarks/swebench/config.py").read_text()
    assert '"condenser_max_size": 240' in condenser


def test_mini_swe_agent() -> None:
    config = yaml.safe_load(package("minisweagent", "config/benchmarks/swebench.yaml").read_text())
    in_preset(
        "mini-swe-agent-2.4.6",
        steps=config["agent"]["step_limit"],
        command_seconds=config["environment"]["timeout"],
        observation_characters=10_000,
        observation_shape=Shape.ENDS,
    )
    assert "output.output[-5000:]" in config["model"]["observation_template"]


@pytest.mark.parametrize("file", ["livesweagent_swebench.yaml", "livesweagent_swebench_pro.yaml"])
def test_live_swe_agent(file: str) -> None:
    config = yaml.safe_load(checkout("live-swe-agent", f"config/{file}").read_text())
    in_preset(
        "live-swe-agent-8d7dd86",
        scaffold="base-fenced",
        steps=config["agent"]["step_limit"],
        command_seconds=config["environment"]["timeout"],
        temperature=config["model"]["model_kwargs"]["temperature"],
        observation_characters=10_000,
        observation_shape=Shape.ENDS,
    )


def sampling_of_swe_agent() -> dict[str, float]:
    found = constants(checkout("SWE-agent", "sweagent/agent/models.py"))
    return {key: found[key] for key in ("temperature", "top_p")}


def test_swe_agent_bash_only() -> None:
    agent = yaml.safe_load(checkout("SWE-agent", "config/bash_only.yaml").read_text())["agent"]
    assert agent["tools"]["parse_function"]["type"] == "single_bash_code_block"
    in_preset(
        "swe-agent-bash-only-3ea751c0",
        scaffold="base-fenced",
        steps=agent["model"]["per_instance_call_limit"],
        command_seconds=agent["tools"]["execution_timeout"],
        observation_characters=agent["templates"]["max_observation_length"],
        observation_shape=Shape.ENDS,
        **sampling_of_swe_agent(),
    )
    assert "observation[- max_observation_length // 2:]" in str(agent["templates"])


@pytest.mark.parametrize("name", ["swe-agent-1.1.0", "swe-agent-aci-3ea751c0"])
def test_swe_agent(name: str) -> None:
    limits = constants(checkout("SWE-agent", "sweagent/tools/tools.py"))
    agent = checkout("SWE-agent", "sweagent/agent/agents.py")
    preset = in_preset(
        name,
        command_seconds=limits["execution_timeout"],
        observation_characters=constants(agent)["max_observation_length"],
        observation_shape=Shape.HEAD,
        **sampling_of_swe_agent(),
    )
    assert "{{observation[:max_observation_length]}}" in agent.read_text()
    assert f"{limits['total_execution_timeout']:,} s on all commands" in " ".join(preset.not_reproduced)


def test_the_tools_of_swe_agent() -> None:
    ours = TOOLSETS["windowed"](Clip())
    theirs = {}
    for bundle in ("windowed", "search", "windowed_edit_replace"):
        theirs |= yaml.safe_load(checkout("SWE-agent", f"tools/{bundle}/config.yaml").read_text())["tools"]
    assert {
        name: [(one["name"], one["required"]) for one in tool["arguments"]] for name, tool in theirs.items()
    } == {name: parameters(tool.schema) for name, tool in ours.items()}
    config = yaml.safe_load(checkout("SWE-agent", "config/exotic/windowed_replace.yaml").read_text())["agent"]
    given = config["tools"]["env_variables"]
    assert (given["WINDOW"], given["OVERLAP"]) == (windowed.WINDOW, windowed.OVERLAP)
    (shown,) = config["history_processors"]
    assert f"last {shown['n']} observations" in " ".join(load_preset("swe-agent-aci-3ea751c0").not_reproduced)
    editing = yaml.safe_load(checkout("SWE-agent", "tools/edit_anthropic/config.yaml").read_text())["tools"]
    theirs_edit = {one["name"] for one in editing["str_replace_editor"]["arguments"]}
    assert theirs_edit == arguments_of("str_replace_editor", "str_replace_editor")


def parameters(schema: Any) -> list[tuple[str, bool]]:
    drawn = schema["function"]["parameters"]
    return [(name, name in drawn["required"]) for name in drawn["properties"]]


def test_trae_agent() -> None:
    preset = in_preset("trae-agent-e839e55", observation_characters=None)
    bash = checkout("trae-agent", "trae_agent/tools/bash_tool.py")
    assert constants(bash)["_timeout"] == preset.command_seconds
    assert "truncate" not in bash.read_text()
    assert constants(checkout("trae-agent", "trae_agent/tools/run.py"))["MAX_RESPONSE_LEN"] == LONGEST_OBSERVATION  # fmt: skip
    readme = checkout("trae-agent", "README.md").read_text()
    assert f"max_steps: {preset.steps} " in readme
    assert f"temperature: {preset.temperature}" in readme


NOT_IN_FILES = {
    "agentless-5ce5888",
    "qwen-3.6",
    "qwen-terminal-bench-2",
    "terminal-bench-leaderboard-2",
    "vals-valkyrie-138",
}
"""Options of commands, model cards, an issue: what they say is in no file of a package."""


def test_every_preset_is_compared_or_is_known_not_to_be() -> None:
    above = Path(__file__).read_text().partition("NOT_IN_FILES")[0]
    assert {name for name in names() if f'"{name}"' not in above} == NOT_IN_FILES
