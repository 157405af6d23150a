"""Services of a task beside its machine: what can be had of a compose file, and what is refused of it, read from files alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals.run.conditions import conditions, given_by
from evals.run.pins import pinned
from evals.run.plan import RunPlan
from tasks import catalog
from tasks.docker.beside import options
from tasks.errors import TaskError
from tasks.harbor.services import span
from tasks.mirrors import mirrored
from tasks.task import HealthCheck, ImageSpec, Task
from tests.harbor_tasks import TASKS, write_task

WHOLE = """\
version: "3.8"
services:
  main:
    build: {context: "${CONTEXT_DIR}"}
    image: ${MAIN_IMAGE_NAME}
    command: [sh, -c, sleep infinity]
    networks: [inside]
    environment: ["DB=postgres://db:${PORT:-5432}", "TEST_DIR=${TEST_DIR}", MODE=fast]
    depends_on:
      web: {condition: service_healthy}
      seed: {condition: service_completed_successfully}
  web:
    build: {context: ./web, dockerfile: Dockerfile.web}
    entrypoint: python3 -u
    command: [app.py, "--cost", "$$5"]
    environment: {DEBUG: true, WORKERS: 2, EMPTY: }
    user: "1000:1000"
    working_dir: /srv
    restart: on-failure:3
    networks: {inside: {aliases: [www]}}
    container_name: web-1
    expose: [80]
    tmpfs: /run:size=8m,exec
    depends_on: [db]
    healthcheck: {test: "curl -f http://localhost$$PATH_", interval: 1m30s, timeout: 500ms, retries: 4, start_period: 2s}
  seed:
    image: ${MAIN_IMAGE_NAME}
    networks: [inside]
    depends_on: {db: {condition: service_healthy}}
  db:
    image: postgres:17
    networks: [inside]
    volumes: [data:/var/lib/postgresql/data, /scratch, {type: tmpfs, target: /fast}]
    healthcheck: {retries: 9}
  debug:
    image: adminer
    profiles: [dev]
    ports: ["8080:8080"]
volumes: {data: {}}
networks: {inside: {internal: true}}
"""


def written(home: Path, compose: str) -> Task:
    directory = write_task(home / "own", TASKS[0])
    (directory / "environment" / "web").mkdir()
    (directory / "environment" / "web" / "Dockerfile.web").write_text("FROM scratch\n")
    (directory / "environment" / "docker-compose.yaml").write_text(compose)
    [task] = catalog.load(str(directory))
    return task


def without_null(text: str) -> str:
    return text.replace("EMPTY: }", 'EMPTY: ""}')


def test_all_that_can_be_had_is_read_as_compose_does(tmp_path: Path) -> None:
    task = written(tmp_path, without_null(WHOLE))
    assert task.verifier
    assert task.verifier.refused == ""
    assert task.compose.environment == {"DB": "postgres://db:5432", "MODE": "fast"}
    found = {service.name: service for service in task.compose.services}
    assert list(found) == ["db", "web", "seed"], (
        "each after those that it waits for; none that a profile starts"
    )
    web, db, seed = found["web"], found["db"], found["seed"]
    assert (web.image.context, web.image.dockerfile) == (
        tmp_path / "own" / "sum-ledger" / "environment" / "web",
        "Dockerfile.web",
    )
    assert (web.entrypoint, web.command) == (("python3", "-u"), ("app.py", "--cost", "$5"))
    assert web.environment == {"DEBUG": "true", "WORKERS": "2", "EMPTY": ""}
    assert (web.user, web.workdir, web.restart) == ("1000:1000", "/srv", "on-failure")
    assert (web.aliases, web.after, web.tmpfs) == (
        ("web-1", "www"),
        {"db": "service_started"},
        ("/run:size=8m",),
    )
    assert web.health == HealthCheck(
        test=("CMD-SHELL", "curl -f http://localhost$PATH_"),
        interval=90,
        timeout=0.5,
        retries=4,
        start_period=2,
    )
    assert (db.image.reference, db.volumes, db.tmpfs) == (
        "postgres:17",
        ("/var/lib/postgresql/data", "/scratch"),
        ("/fast",),
    )
    assert db.health == HealthCheck(retries=9)
    assert (seed.image, seed.ends, web.ends) == (task.image, True, False)


def test_ports_that_a_file_would_open_on_the_host_stay_closed(tmp_path: Path) -> None:
    """Services find each other without them; two with the same one of the host's keep their own."""
    task = written(
        tmp_path,
        "services:\n  api:\n    image: y\n    ports: ['8080:80']\n  b:\n    image: z\n    ports: ['8080:81']\n",
    )
    assert task.verifier
    assert (task.verifier.refused, [one.name for one in task.compose.services]) == ("", ["api", "b"])
    assert options(task.compose) == {
        "extra_hosts": {"main": "127.0.0.2", "api": "127.0.0.3", "b": "127.0.0.4"}
    }


def test_a_name_without_a_value_comes_from_whoever_runs_it(tmp_path: Path) -> None:
    task = written(tmp_path, WHOLE)
    assert task.verifier
    assert "its service web takes EMPTY from the environment of whoever runs it" in task.verifier.refused
    assert task.compose.services == ()


def test_variables_of_its_configuration_are_its_machines(tmp_path: Path) -> None:
    directory = write_task(tmp_path / "own", TASKS[0])
    (directory / "task.toml").write_text("[environment.env]\nA = '1'\n")
    [task] = catalog.load(str(directory))
    assert task.compose.environment == {"A": "1"}


@pytest.mark.parametrize(
    ("service", "why"),
    [
        ("image: y\n    volumes: ['./data:/data']", "its service api mounts ./data"),
        ("image: y\n    volumes: ['${HOST_AGENT_LOGS_PATH}:/logs']", "mounts ${HOST_AGENT_LOGS_PATH}"),
        ("image: y\n    volumes: [{type: bind, source: /etc, target: /x}]", "its service api mounts /etc"),
        ("image: y\n    volumes: ['/var/run/docker.sock:/s']", "its service api mounts /var/run/docker.sock"),
        ("image: y\n    network_mode: host", "its service api has the network 'host'"),
        ("image: y\n    network_mode: 'service:main'", "has the network 'service:main'"),
        ("image: y\n    network_mode: none", "keeps its services apart"),
        ("image: y\n    privileged: true", "its service api is privileged"),
        ("image: y\n    devices: [/dev/kvm]", "takes devices of the host"),
        ("image: y\n    cap_add: [NET_ADMIN]", "takes rights over the host"),
        ("image: y\n    pid: 'service:main'", "shares processes with the host"),
        ("image: y\n    ipc: host", "shares memory with the host"),
        ("image: y\n    secrets: [key]", "its service api sets secrets"),
        ("image: y\n    env_file: .env", "its service api sets env_file"),
        ("image: y\n    extra_hosts: ['h:host-gateway']", "its service api sets extra_hosts"),
        ("image: y\n    volumes_from: [main]", "its service api sets volumes_from"),
        ("image: y\n    environment: [KEY]", "its service api takes KEY from the environment"),
        ("image: y\n    command: serve ${TOKEN}", "its service api takes TOKEN from the environment"),
        ("image: y\n    deploy: {replicas: 3}", "its service api runs 3 times"),
        (
            "image: y\n    deploy: {resources: {reservations: {devices: [{driver: nvidia}]}}}",
            "takes devices of the host",
        ),
        ("build: {context: ./web, args: {A: b}}", "its service api is built with args"),
        ("command: x", "its service api has neither an image nor a directory"),
        ("image: y\n    networks: [back]", "keeps its services apart in several networks"),
        ("image: y\n    expose: [80]\n  b:\n    image: y\n    expose: ['80']", "several services on port 80"),
        (
            "image: y\n    ports: ['127.0.0.1:8080:80/tcp']\n  b:\n    image: y\n    ports: [{target: 80, published: 81}]",
            "several services on port 80",
        ),
        ("image: y\n    volumes: ['d:/d']\n  b:\n    image: y\n    volumes: ['d:/e']", "share a volume (d)"),
        ("image: y\nnetworks: {default: {external: true}}", "has the host's network default"),
        ("image: y\nvolumes: {d: {driver_opts: {device: /}}}", "mounts the host's volume d"),
        ("image: y\ninclude: [other.yaml]", "includes other files"),
        (
            "image: y\n  main:\n    deploy: {resources: {reservations: {devices: [{driver: nvidia}]}}}",
            "takes devices",
        ),
        ("image: y\n    labels: &a [*a, '$TOKEN']", "takes TOKEN from the environment"),
    ],
)
def test_what_a_service_may_not_have_is_refused_by_name(tmp_path: Path, service: str, why: str) -> None:
    task = written(tmp_path, f"services:\n  api:\n    {service}\n")
    assert task.verifier
    assert task.verifier.refused.startswith("needs docker compose, and ")
    assert why in task.verifier.refused
    assert "\n" not in task.verifier.refused
    assert task.compose.services == ()


@pytest.mark.parametrize(
    ("service", "complaint"),
    [
        (
            "image: y\n    depends_on: [b]\n  b:\n    image: y\n    depends_on: [api]",
            "its services wait for each other",
        ),
        ("image: y\n    depends_on: [nobody]", "waits for 'nobody', which is none of its services"),
        ("image: y\n    healthcheck: {interval: soon, test: x}", "'soon' is no time such as 10s"),
        ("image: y\n    healthcheck: {retries: -1, test: x}", "`retries`"),
        ("image: y\n    container_name: 'a b'", "'a b' cannot be the name of a service"),
        ("build: ../../..", "../../.. is outside of environment"),
        ("build: ./web", "its service api has no Dockerfile in web"),
        ("image: y\n    depends_on: 3", "not as compose has it"),
        ("image: y\n    healthcheck: 3", "not as compose has it"),
        ("image: y\n    volumes: 3", "not a readable compose file"),
        ("3", "not a readable compose file"),
    ],
)
def test_what_no_compose_would_take_is_one_line(tmp_path: Path, service: str, complaint: str) -> None:
    with pytest.raises(TaskError, match=r"sum-ledger/environment/docker-compose\.yaml: ") as raised:
        written(tmp_path, f"services:\n  api:\n    {service}\n")
    assert complaint in str(raised.value)
    assert "\n" not in str(raised.value)


def test_aliases_of_aliases_are_read_in_no_time(tmp_path: Path) -> None:
    """Each stands for ten of the one before."""
    bomb = ["x0: &x0 ['$A']", *(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 10)}]" for n in range(1, 40))]
    task = written(tmp_path, "\n".join([*bomb, "services:", "  api: {image: y, labels: *x39}"]))
    assert task.verifier
    assert "its service api takes A from" in task.verifier.refused


def test_images_of_services_are_pinned_and_mirrored_with_the_tasks_own(tmp_path: Path) -> None:
    task = written(tmp_path, without_null(WHOLE))
    own = "asclaimed/harbor-sum-ledger"
    assert [image.reference for image in task.images] == [own, "postgres:17", f"{own}-web"]
    digest = f"sha256:{'0' * 64}"
    [held] = pinned(mirrored([task], ["hub.lan"]), {"postgres:17": digest})
    images = {image.reference: image for image in held.images}
    assert images["postgres:17"] == ImageSpec(reference="postgres:17", mirrors=("hub.lan",), digest=digest)
    assert images[f"{own}-web"].digest == ""
    assert held.content_hash == task.content_hash


def test_that_services_have_no_addresses_of_their_own_is_a_point_of_the_protocol(tmp_path: Path) -> None:
    given = given_by(written(tmp_path, without_null(WHOLE)))
    assert given
    points = {point.name: point for point in conditions(RunPlan(tasks="x"), [given], {})}
    assert points["network of services"].ours == "one loopback for all, the agent's machine included"
    assert "network of services" not in {
        point.name for point in conditions(RunPlan(tasks="x"), [given.model_copy(update={"services": 0})], {})
    }


def test_times_are_read_as_compose_writes_them() -> None:
    assert [span(text) for text in ("1h2m3s", "250ms", "1.5m")] == [3723.0, 0.25, 90.0]
