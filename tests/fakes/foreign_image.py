"""An image for a processor that nobody here has: what a registry hands out where there is no other."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager

from tasks.docker.daemon import client

NAME, PROCESSOR = "asclaimed/test:s390x", "s390x"


@contextmanager
def foreign_image() -> Iterator[str]:
    """Its id; it is called `NAME` meanwhile."""
    layer, packed = io.BytesIO(), io.BytesIO()
    tarfile.open(fileobj=layer, mode="w").close()
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    config = {
        "architecture": PROCESSOR,
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    listed = [{"Config": "config.json", "RepoTags": [NAME], "Layers": ["layer.tar"]}]
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, data in {
            "config.json": json.dumps(config).encode(), "manifest.json": json.dumps(listed).encode(), "layer.tar": layer.getvalue(),
        }.items():  # fmt: skip
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    (image,) = client().images.load(packed.getvalue())
    try:
        yield str(image.id)
    finally:
        client().images.remove(NAME, force=True)
