"""What a scripted server answers to an agent program, whatever that calls its shell: a change, more of it, a command without end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from scaffolds.base import Stop
from tests.fakes.openai_server import Answer, call, say

PATCH = "*** Begin Patch\n*** Add File: new.txt\n+changed\n*** End Patch\n"
"""As codex's apply_patch takes it, as bare text."""
COMMAND = "echo changed >new.txt"
SUBMIT = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
ENDLESS = "tail -f /dev/null"
"""No `sleep`, which qwen-code refuses to wait for."""
SHELLS = {
    "bash": "command",
    "run_shell_command": "command",
    "exec_command": "cmd",
    "shell_command": "command",
    "terminal": "command",
}
"""What programs call their shell, and its argument."""
MORE = {
    "run_shell_command": {"is_background": False, "description": "d"},
    "bash": {"description": "d"},
    "terminal": {"security_risk": "LOW", "summary": "s"},
}
BLOCKS = "new.txt\n```\n<<<<<<< SEARCH\n=======\nchanged\n>>>>>>> REPLACE\n```\n"
NO_SUCH_LINES = "new.txt\n```\n<<<<<<< SEARCH\nnowhere\n=======\nx\n>>>>>>> REPLACE\n```\n"
"""As aider's edit format has them; what cannot be applied makes it ask again."""
FOREVER = 3600.0


def shell(body: Mapping[str, Any], command: str) -> Answer:
    offered = [tool["function"]["name"] for tool in body.get("tools", ())]
    name = next((name for name in offered if name in SHELLS), None)
    if name is None:
        return say("A title")
    if "apply_patch" in offered and command is COMMAND:
        return call("apply_patch", {"input": PATCH}, call_id=f"c{len(body['messages'])}")
    more = MORE.get(name, {}) if len(offered) > 1 else {}
    return call(name, {SHELLS[name]: command, **more}, call_id=f"c{len(body['messages'])}")


def obliging(body: Mapping[str, Any]) -> Answer:
    """Calls the shell once, and then says that it is done, in words or as mini wants to have it."""
    if not any(message["role"] == "tool" for message in body["messages"]):
        return shell(body, COMMAND)
    return shell(body, SUBMIT) if "COMPLETE_TASK" in json.dumps(body["messages"]) else say("Done.")


def restless(body: Mapping[str, Any]) -> Answer:
    return shell(body, COMMAND)


def endless(body: Mapping[str, Any]) -> Answer:
    return shell(body, ENDLESS)


class Ending(NamedTuple):
    """How an attempt is brought to its end."""

    script: Callable[[Mapping[str, Any]], Answer]
    untooled: Answer
    """What a program without tools is answered."""
    steps: int
    stop: Stop
    changed: tuple[str, ...]


ENDINGS = {
    "obliging": Ending(obliging, say(BLOCKS), 5, Stop.SUBMITTED, ("new.txt",)),
    "restless": Ending(restless, say(BLOCKS + NO_SUCH_LINES), 3, Stop.STEP_LIMIT, ("new.txt",)),
    "endless": Ending(endless, replace(say("late"), delay=FOREVER, message=None), 50, Stop.TIME_LIMIT, ()),
}
