"""The tools that scaffolds share: `bash` and `submit` here, the editor in `editor.py`.

A tool turns arguments into one observation, a text for the model. What the agent did wrong is an observation;
`SandboxGone` and `SandboxError` pass through.
"""

from __future__ import annotations

import json
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from scaffolds.model import ToolSchema
from scaffolds.text import LONGEST_OBSERVATION, Clip, cap
from tasks.sandbox import ExecResult, Sandbox


class Arguments(BaseModel):
    """What a tool takes: the schema that a model is shown and the check of what it sent are one class.

    Strict: `"3"` is no number and `true` is none either. Arguments that no tool has are ignored.
    """

    model_config = ConfigDict(frozen=True, strict=True)


class Tool(Protocol):
    """One tool of one attempt; may keep state, as the editor's undo does."""

    @property
    def schema(self) -> ToolSchema: ...

    @property
    def arguments(self) -> type[Arguments]: ...

    def apply(self, sandbox: Sandbox, arguments: Any, timeout: float) -> str:
        """The observation. `arguments` is one of `self.arguments`; `timeout` in seconds."""
        ...


class PlainSchema(GenerateJsonSchema):
    """Pydantic's JSON Schema without titles, defaults and `null`: what small models read and servers' grammars take."""

    def nullable_schema(self, schema: Any) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: Any) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False


def function_schema(name: str, description: str, arguments: type[Arguments]) -> ToolSchema:
    """OpenAI's function format."""
    drawn = arguments.model_json_schema(schema_generator=PlainSchema)
    parameters = {
        "type": "object",
        "properties": drawn.get("properties", {}),
        "required": drawn.get("required", []),
    }
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": parameters},
    }


class BashArguments(Arguments):
    command: str = Field(description="The command to run.")


class Bash:
    """Each command in a shell of its own, in the working directory."""

    arguments = BashArguments
    schema = function_schema(
        "bash",
        "Run a bash command in the repository. Each call starts in the repository's root; `cd` does not carry over.",
        BashArguments,
    )

    def __init__(self, clip: int | Clip = LONGEST_OBSERVATION) -> None:
        """`clip`: what the model is shown of an output; a number is characters."""
        self._clip = clip

    def apply(self, sandbox: Sandbox, arguments: BashArguments, timeout: float) -> str:
        return observe(sandbox.exec(arguments.command, timeout=timeout), timeout, self._clip)


class Submit:
    """The way to say "done". The loop ends on it, so it is never applied."""

    arguments = Arguments
    schema = function_schema("submit", "Call this when the task is solved. It ends the session.", Arguments)

    def apply(self, sandbox: Sandbox, arguments: Arguments, timeout: float) -> str:  # noqa: ARG002
        return "submitted"


MACHINE_WORDS = (("in the repository", "on the machine"), ("the repository's root", "the working directory"))
"""What tools say of a repository, and what they say where there is none."""


class OnMachine:
    """A tool in the words of a task about a machine. Its words for a repository stay, letter by letter, as runs had them."""

    def __init__(self, tool: Tool) -> None:
        self._tool, self.arguments = tool, tool.arguments
        words = json.dumps(tool.schema)
        for of_repository, of_machine in MACHINE_WORDS:
            words = words.replace(of_repository, of_machine)
        self.schema: ToolSchema = json.loads(words)

    def apply(self, sandbox: Sandbox, arguments: Any, timeout: float) -> str:
        return self._tool.apply(sandbox, arguments, timeout)


def observe(result: ExecResult, timeout: float, clip: int | Clip = LONGEST_OBSERVATION) -> str:
    """What a command did, in words for the model."""
    parts = [cap(result.output, clip)] if result.output else []
    if result.timed_out:
        parts.append(f"[stopped: it ran longer than {timeout:g} s]")
    elif result.exit_code or not result.output:
        parts.append(f"[exit code {result.exit_code}]")
    return "\n".join(parts)
