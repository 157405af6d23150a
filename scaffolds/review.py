"""Before a submission counts, the model is shown its own change once.

What has changed is a repository's difference, or on a task about a machine the files that were written since the attempt began.
"""

from __future__ import annotations

import math
import time

from scaffolds.text import Clip, cap
from tasks.sandbox import Sandbox

PROMPT = """\
Before this counts, read your change as a reviewer would:

{changed}

Does it deal with the whole report? Is anything in it that does not belong there: debugging output, files of yours, \
changed tests? Repair what you find. Then {submit} once more; that one counts."""
MACHINE_PROMPT = """\
Before this counts, read what you leave as a reviewer would. These files were written since you began:

{changed}

Is all done that was asked for, and each thing where it was asked for? Is anything left that does not belong there: \
debugging output, files of yours? Repair what you find. Then {submit} once more; that one counts."""
NO_CHANGE = "(nothing has been changed)"
SHOW = "git --no-pager diff --no-color HEAD; git ls-files --others --exclude-standard | sed 's/^/new file: /'"
SHOW_MACHINE = r"""
find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /.asclaimed -o -name .git \) -prune -o -type f -mmin -{minutes} \
    ! -path /etc/hosts ! -path /etc/hostname ! -path /etc/resolv.conf ! -path /.dockerenv -print 2>/dev/null | head -n 40 | while IFS= read -r f; do
    printf -- '--- %s (%s bytes)\n' "$f" "$(wc -c <"$f")"
    [ "$(head -c 2000 "$f" | tr -d '\0' | wc -c)" = "$(head -c 2000 "$f" | wc -c)" ] && head -c 2000 "$f" && echo
done"""
"""Each file with its first 2,000 bytes where it is text, which is what holds no NUL (not every grep can tell). What a container mounts for itself is nobody's work."""


def review(
    sandbox: Sandbox, how: str, clip: Clip, timeout: float, *, machine_since: float | None = None
) -> str:
    """What the model is told at its first submission; `how` it submits. `machine_since` as in `changed`."""
    prompt = PROMPT if machine_since is None else MACHINE_PROMPT
    return prompt.format(changed=changed(sandbox, clip, timeout, machine_since=machine_since), submit=how)


def changed(sandbox: Sandbox, clip: Clip, timeout: float, *, machine_since: float | None = None) -> str:
    """What was changed so far, as the sandbox itself tells it: for a model's eyes, never for a grade.

    `machine_since`: of a task about a machine, when the attempt began (`time.monotonic`); None for one about a repository.
    """
    show = SHOW if machine_since is None else SHOW_MACHINE.replace("{minutes}", str(minutes(machine_since)))
    return cap(sandbox.exec(show, timeout=timeout).output, clip).strip() or NO_CHANGE


def minutes(since: float) -> int:
    """Whole minutes, up: `find` compares with nothing finer everywhere."""
    return max(1, math.ceil((time.monotonic() - since) / 60))
