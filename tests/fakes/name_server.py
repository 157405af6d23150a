"""Answers every look-up of a name inside a sandbox with "there is no such name", and writes down which it was.

Its text is run there, by the image's own Python, before an agent program: a container without a network has no server that
could be asked, so that without this one nothing tells who tried.
"""

import socket
import sys
from pathlib import Path


def asked(query: bytes) -> str:
    """The name in a DNS query."""
    parts, at = [], 12
    while at < len(query) and query[at]:
        parts.append(query[at + 1 : at + 1 + query[at]].decode("ascii", "replace"))
        at += 1 + query[at]
    return ".".join(parts)


def main(log: str) -> None:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    with Path(log).open("a", buffering=1) as written:
        while True:
            query, sender = server.recvfrom(4096)
            written.write(asked(query) + "\n")
            server.sendto(query[:2] + b"\x81\x83" + query[4:6] + bytes(6) + query[12:], sender)


if __name__ == "__main__":
    main(sys.argv[1])
