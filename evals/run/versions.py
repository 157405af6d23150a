"""Which code made a run: versions of what is installed, and a hash over the scaffolds' own source."""

from __future__ import annotations

import hashlib
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import scaffolds as scaffolds_package
from tasks import supervisor

PACKAGES = ("asclaimed", "openai", "docker", "swebench", "pydantic", "datasets", "mini-swe-agent")


def source_hash() -> str:
    """sha256 over names and bytes of every file of the `scaffolds` package, in order."""
    root = Path(str(scaffolds_package.__file__)).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.suffix in {".py", ".yaml"}:
            digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found | {f"supervisor {cpu}": f"sha256:{digest}" for cpu, digest in supervisor.digests().items()}
