"""Sets of tools by name: what a scaffold's `tools` may hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from scaffolds import apply_patch, read_edit_write, windowed
from scaffolds.editor import Editor
from scaffolds.text import LONGEST_OBSERVATION
from scaffolds.tools import Bash, Submit, Tool

TOOLSETS: dict[str, Callable[[int], dict[str, Tool]]] = {
    "bash": lambda longest: {"bash": Bash(longest)},
    "str_replace_editor": lambda longest: {"str_replace_editor": Editor(min(longest, LONGEST_OBSERVATION))},
    "read_edit_write": lambda longest: read_edit_write.tools(min(longest, LONGEST_OBSERVATION)),
    "apply_patch": apply_patch.tools,
    "windowed": lambda longest: windowed.tools(min(longest, LONGEST_OBSERVATION)),
}
"""Name → the tools of one attempt, given how many characters of an observation the model is shown."""


def made(names: Sequence[str], longest: int, *, submit: bool) -> dict[str, Tool]:
    """Fresh tools by name, in order. Raises `ValueError` where two have one name."""
    tools: dict[str, Tool] = {}
    for name in names:
        more = TOOLSETS[name](longest)
        if twice := tools.keys() & more.keys():
            raise ValueError(f"two tools are called {', '.join(sorted(twice))}: choose one set of them")
        tools |= more
    return tools | ({"submit": Submit()} if submit else {})
