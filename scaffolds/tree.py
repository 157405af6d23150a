"""The working directory's state, kept and brought back within one attempt: for scaffolds that try more than once.

With git's own plumbing and an index of its own, so that neither the repository's index nor its history is touched.
Not covered: ignored files, which stay as they are.
"""

from __future__ import annotations

import re

from tasks.sandbox import Sandbox

INDEX = "/tmp/asclaimed-tree-index"  # noqa: S108 - inside the container
KEEP = f"export GIT_INDEX_FILE={INDEX}; rm -f {INDEX}; git add -A && git write-tree"
BACK = f"export GIT_INDEX_FILE={INDEX}; git read-tree {{tree}} && git checkout-index -qfa && git clean -fdq"
OBJECT = re.compile(r"^[0-9a-f]{40,64}$")


def keep(sandbox: Sandbox, timeout: float) -> str | None:
    """The state's name; None where git cannot keep it."""
    said = sandbox.exec(KEEP, timeout=timeout)
    name = said.output.strip().rpartition("\n")[2]
    return name if said.exit_code == 0 and OBJECT.match(name) else None


def bring_back(sandbox: Sandbox, tree: str, timeout: float) -> bool:
    """Whether the state could be brought back."""
    return sandbox.exec(BACK.format(tree=tree), timeout=timeout).exit_code == 0
