"""What a registry says of an image without handing it out: its digest, its layers and how many bytes each has.

The daemon tells only the digest, so these are questions of our own (the v2 API), with `docker login`'s credentials and to
the mirrors that the daemon has for Docker Hub. Asking for a digest (HEAD) counts nowhere as a pull; asking for a manifest
does on Docker Hub, so each is kept in the cache by digest. Everything a registry sends is bounded in size and time.

Not covered: a registry that only the daemon reaches (another machine's, one behind the daemon's own proxy).
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, NamedTuple, NoReturn

import requests
from docker import auth
from docker.errors import DockerException

from tasks.disk import cache_directory, load_cached, write_atomic
from tasks.docker.daemon import MACHINES, architecture, facts
from tasks.docker.endpoint import one_line, root_cause
from tasks.docker.pull import Unreachable, failure
from tasks.errors import TaskError
from tasks.mirrors import HUB, full_name
from tasks.task import Frozen
from tasks.untrusted import loads

HUB_HOST = "registry-1.docker.io"
TIMEOUT = (10.0, 30.0)
MOST_BYTES = 4 << 20
"""Of a manifest or configuration; registries take no manifest above 4 MiB."""
MOST_LAYERS = 1000
LISTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
ACCEPT = ", ".join(
    (
        *LISTS,
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
CHALLENGE = re.compile(r'\b(\w+)="([^"]*)"')


class Layer(NamedTuple):
    """One layer on top of those below it."""

    chain: str
    """Id of the stack that ends with it: Docker keeps a layer once for each stack that it is in."""
    bytes: int
    """As it is sent, compressed."""


class ManifestFacts(Frozen):
    """What a registry has under a name, for this daemon's processor where there is a choice."""

    digest: str
    """Of what the name stands for, an index of several processors' included: `repository@digest` pulls just that."""
    architecture: str
    layers: tuple[Layer, ...]

    @property
    def bytes(self) -> int:
        return sum(layer.bytes for layer in self.layers)


def digest_of(name: str) -> str:
    """What the name stands for now. Raises as `manifest`."""
    place = Place.of(name)
    with place.ask(f"manifests/{place.tag}", name, method="HEAD") as answer:
        digest = answer.headers.get("Docker-Content-Digest", "")
    return digest if DIGEST.fullmatch(digest) else sha256(place.get(f"manifests/{place.tag}", name))


def manifest(name: str) -> ManifestFacts:
    """Layers and sizes of one image.

    Raises `TaskError` (not found, not allowed, no image), `Unreachable`, `RegistryError` (may work later).
    """
    digest = digest_of(name)
    file = cache_directory() / "manifests" / f"{digest.removeprefix('sha256:')}-{architecture()}.json"
    if known := load_cached(file, ManifestFacts.model_validate_json):
        return known
    try:
        found = read_manifest(name, digest)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise TaskError(f"image {name}: its registry sends no manifest that can be read ({error})") from error
    file.parent.mkdir(exist_ok=True)
    write_atomic(file, found.model_dump_json().encode())
    return found


def read_manifest(name: str, digest: str) -> ManifestFacts:
    place = Place.of(name)
    document = loads(place.get(f"manifests/{digest}", name))
    if document.get("mediaType") in LISTS or "manifests" in document:
        chosen = for_this_processor(name, document["manifests"])
        document = loads(place.get(f"manifests/{chosen}", name))
    if "config" not in document:
        raise ValueError("an image of schema 1, which Docker no longer pulls")
    config = loads(place.get(f"blobs/{a_digest(document['config']['digest'])}", name))
    chains = chain_ids(config["rootfs"]["diff_ids"])
    sizes = [int(layer["size"]) for layer in document["layers"]]
    if len(chains) != len(sizes) or len(sizes) > MOST_LAYERS or min(sizes, default=0) < 0:
        raise ValueError("its layers do not fit its configuration")
    layers = tuple(map(Layer, chains, sizes))
    return ManifestFacts(digest=digest, architecture=str(config.get("architecture", "")), layers=layers)


def for_this_processor(name: str, manifests: Sequence[Mapping[str, Any]]) -> str:
    """Of an index, as the daemon would choose. Raises `TaskError` when it has none."""
    made_for = {
        str(one["platform"].get("architecture", "")): a_digest(one["digest"])
        for one in reversed(manifests)
        if one.get("platform", {}).get("os") == "linux"
    }
    ours = next((docker for docker, uname in MACHINES.items() if uname == architecture()), architecture())
    if ours not in made_for:
        there = ", ".join(sorted(made_for)) or "no processor that it names"
        raise TaskError(f"image {name} is for {there}, not for this machine's {ours}")
    return made_for[ours]


def a_digest(value: Any) -> str:
    """Raises `ValueError` for what is none: it becomes part of an address."""
    if not DIGEST.fullmatch(str(value)):
        raise ValueError("a digest that is none")
    return str(value)


def chain_ids(diff_ids: Iterable[str]) -> list[str]:
    """Of a configuration's `rootfs.diff_ids`, the lowest layer first (OCI image-spec, "Layer ChainID")."""
    chains: list[str] = []
    for diff in diff_ids:
        chains.append(sha256(f"{chains[-1]} {diff}".encode()) if chains else str(diff))
    return chains


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Place(NamedTuple):
    """One image of one registry."""

    registry: str
    """As names and `docker login` have it."""
    repository: str
    tag: str
    """Or digest."""

    @classmethod
    def of(cls, name: str) -> Place:
        registry, _, rest = full_name(name).partition("/")
        repository, at, digest = rest.partition("@")
        if at:
            return cls(registry, repository.partition(":")[0], digest)
        repository, _, tag = rest.partition(":")
        return cls(registry, repository, tag or "latest")

    def get(self, path: str, name: str) -> bytes:
        """A whole document."""
        with reading(name), self.ask(path, name) as answer:
            body = b""
            for piece in answer.iter_content(1 << 16):
                body += piece
                if len(body) > MOST_BYTES:
                    raise TaskError(
                        f"image {name}: its registry sends more than {MOST_BYTES >> 20} MB for {path}"
                    )
            return body

    def ask(self, path: str, name: str, method: str = "GET") -> requests.Response:
        """The answer's head, once one of the registry's addresses gives one. Raises as `manifest`."""
        *others, last = bases(self.registry)
        for base in others:
            with suppress(Unreachable), reading(name):
                return self._ask(f"{base}/v2/{self.repository}/{path}", name, method)
        with reading(name):
            return self._ask(f"{last}/v2/{self.repository}/{path}", name, method)

    def _ask(self, url: str, name: str, method: str) -> requests.Response:
        web = session(self.registry)
        answer = web.request(method, url, timeout=TIMEOUT, stream=True)
        if answer.status_code == 401 and (known := self._authorization(web, answer)):
            answer.close()
            answer = web.request(method, url, timeout=TIMEOUT, stream=True, headers={"Authorization": known})
        if not answer.ok:
            refuse(name, answer)
        return answer

    def _authorization(self, web: requests.Session, refused: requests.Response) -> str:
        """What the registry asks for, from `docker login`'s credentials; "" where there are none and it wants some."""
        kind, _, rest = refused.headers.get("WWW-Authenticate", "").partition(" ")
        login, wanted = credentials(self.registry), dict(CHALLENGE.findall(rest))
        basic = (login["username"], login["password"]) if login.get("password") else None
        if kind.lower() == "basic" and basic:
            return str(requests.Request("GET", refused.url, auth=basic).prepare().headers["Authorization"])
        if kind.lower() != "bearer" or "realm" not in wanted:
            return ""
        asked = {
            "service": wanted.get("service", ""),
            "scope": wanted.get("scope") or f"repository:{self.repository}:pull",
        }
        given = web.get(wanted["realm"], params=asked, auth=basic, timeout=TIMEOUT)
        token = loads(given.content[:MOST_BYTES]) if given.ok else {}
        return f"Bearer {token.get('token') or token.get('access_token')}" if isinstance(token, dict) else ""


def refuse(name: str, answer: requests.Response) -> NoReturn:
    """Raises what a status that is no success means."""
    with answer:
        said = f"HTTP {answer.status_code} {answer.reason} from {answer.url}"
    raise failure(name, said, answer.status_code)


@contextmanager
def reading(name: str) -> Iterator[None]:
    """What goes wrong on the way to a registry, in our terms."""
    try:
        yield
    except requests.RequestException as error:
        said = f"image {name} cannot be pulled now: {one_line(root_cause(error))}"
        raise Unreachable(said) from error


@cache
def session(registry: str) -> requests.Session:
    """One a registry; loopback is asked without the proxy that the environment may name."""
    made = requests.Session()
    made.headers["Accept"] = ACCEPT
    made.trust_env = not is_loopback(registry)
    return made


def bases(registry: str) -> list[str]:
    """Addresses to try, in order: Docker Hub's mirrors of the daemon, https, and http where the daemon takes that."""
    if registry == HUB:
        mirrors = (facts().get("RegistryConfig") or {}).get("Mirrors") or ()
        return [*(str(mirror).rstrip("/") for mirror in mirrors), f"https://{HUB_HOST}"]
    return [f"https://{registry}", *([f"http://{registry}"] if is_insecure(registry) else [])]


def is_insecure(registry: str) -> bool:
    """Whether the daemon speaks plain HTTP to it."""
    known = ((facts().get("RegistryConfig") or {}).get("IndexConfigs") or {}).get(registry) or {}
    return known.get("Secure") is False or is_loopback(registry)


def is_loopback(registry: str) -> bool:
    host = registry.rpartition(":")[0] or registry
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@cache
def credentials(registry: str) -> Mapping[str, str]:
    """Of `docker login`; none where there is no file, or its helper fails."""
    try:
        found = auth.load_config().resolve_authconfig(None if registry == HUB else registry) or {}
    except DockerException:
        return {}
    return {key.lower(): str(value) for key, value in found.items() if value}
