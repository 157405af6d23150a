"""Sets of tools by name: what a scaffold's `tools` may hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from scaffolds import apply_patch, read_edit_write, windowed
from scaffolds.editor import Editor
from scaffolds.text import LONGEST_OBSERVATION, Clip
from scaffolds.tools import Bash, Submit, Tool

TOOLSETS: dict[str, Callable[[Clip], dict[str, Tool]]] = {
    "bash": lambda clip: {"bash": Bash(clip)},
    "str_replace_editor": lambda clip: {"str_replace_editor": Editor(of_file(clip))},
    "read_edit_write": lambda clip: read_edit_write.tools(of_file(clip)),
    "apply_patch": lambda clip: apply_patch.tools(clip.characters),
    "windowed": lambda clip: windowed.tools(of_file(clip)),
}
"""Name → the tools of one attempt, given what of an observation the model is shown."""


def of_file(clip: Clip) -> int:
    """Characters: the tools that show files know their lines, and say themselves what follows."""
    return min(clip.characters, LONGEST_OBSERVATION)


def made(names: Sequence[str], clip: Clip, *, submit: bool) -> dict[str, Tool]:
    """Fresh tools by name, in order. Raises `ValueError` where two have one name."""
    tools: dict[str, Tool] = {}
    for name in names:
        more = TOOLSETS[name](clip)
        if twice := tools.keys() & more.keys():
            raise ValueError(f"two tools are called {', '.join(sorted(twice))}: choose one set of them")
        tools |= more
    return tools | ({"submit": Submit()} if submit else {})
