"""Before a submission counts, the model is shown its own change once."""

from __future__ import annotations

from scaffolds.text import Clip, cap
from tasks.sandbox import Sandbox

PROMPT = """\
Before this counts, read your change as a reviewer would:

{diff}

Does it deal with the whole report? Is anything in it that does not belong there: debugging output, files of yours, \
changed tests? Repair what you find. Then {submit} once more; that one counts."""
NO_CHANGE = "(nothing has been changed)"
SHOW = "git --no-pager diff --no-color HEAD; git ls-files --others --exclude-standard | sed 's/^/new file: /'"


def review(sandbox: Sandbox, how: str, clip: Clip, timeout: float) -> str:
    """What the model is told at its first submission; `how` it submits."""
    return PROMPT.format(diff=changed(sandbox, clip, timeout), submit=how)


def changed(sandbox: Sandbox, clip: Clip, timeout: float) -> str:
    """What was changed so far, as the sandbox's own git tells it: for a model's eyes, never for a grade."""
    return cap(sandbox.exec(SHOW, timeout=timeout).output, clip).strip() or NO_CHANGE
