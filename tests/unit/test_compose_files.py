"""Rules that the compose files keep: nothing is open to others, nothing floats, all is durable."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from harness.servers import TECHNOLOGIES
from harness.servers.docker import compose

SERVICES = {name: technology.service for name, technology in TECHNOLOGIES.items()}

ROOT = Path(__file__).parents[2]
OFFICIAL = ROOT / "docker-compose.yml"
BUILT = ROOT / "images" / "docker-compose.yml"
SERVICE_NAMES = ("postgres", "kafka", "dynamodb", "eventstoredb", "kurrentdb", "umadb")
PUBLISHED = re.compile(r"127\.0\.0\.1:\$\{ESLAB_[A-Z]+_PORT:-\d+\}:\d+")
IMAGE = re.compile(r"([a-z]+/)?[a-z-]+:\d+\.\d+(\.\d+)?")
"""Of the default registry, so that no registry is named, and with a tag that says a version."""


def loaded(file: Path):
    return YAML(typ="safe").load(file.read_text())


@pytest.fixture(params=SERVICE_NAMES)
def service(request: pytest.FixtureRequest):
    return loaded(OFFICIAL)["services"][request.param]


def test_the_services_are_those_that_the_lab_knows():
    assert tuple(loaded(OFFICIAL)["services"]) == SERVICE_NAMES
    assert set(SERVICES) <= set(SERVICE_NAMES)


def test_every_published_port_is_on_the_loopback_interface_and_can_be_moved(service):
    assert len(service["ports"]) == 1
    assert PUBLISHED.fullmatch(service["ports"][0])


def test_an_image_is_pinned_and_names_no_registry(service):
    assert IMAGE.fullmatch(service["image"])


def test_data_lies_in_a_named_volume(service):
    (volume,) = service["volumes"]
    assert volume.split(":")[0] in loaded(OFFICIAL)["volumes"]
    assert "tmpfs" not in service


def test_a_service_has_a_health_check_that_old_engines_know(service):
    assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert not {"start_interval", "start_period"} & set(service["healthcheck"])


def test_who_made_a_container_is_written_on_it(service):
    assert service["labels"]["eslab.started-by"] == "${ESLAB_STARTED_BY:-make up}"


def test_the_services_that_a_run_starts_listen_where_the_lab_looks():
    services = loaded(OFFICIAL)["services"]
    for name, known in SERVICES.items():
        variable, port = known.port_variable, known.inside_port
        assert services[name]["ports"] == [f"127.0.0.1:${{{variable}:-{port}}}:{port}"]


def test_kafka_tells_its_clients_the_port_that_is_published():
    environment = loaded(OFFICIAL)["services"]["kafka"]["environment"]
    assert (
        "CLIENT://127.0.0.1:${ESLAB_KAFKA_PORT:-9092}" in environment["KAFKA_ADVERTISED_LISTENERS"]
    )


def test_a_run_adds_a_listener_for_its_relay_to_kafkas_own():
    described = loaded(OFFICIAL)["services"]["kafka"]
    relayed = SERVICES["kafka"].relayed
    more = relayed(described, 29092, 29093)
    assert more["ports"] == ["127.0.0.1:29092:9094"]
    for name, listener in (("LISTENERS", ":9094"), ("ADVERTISED_LISTENERS", "127.0.0.1:29093")):
        own, _, added = more["environment"][f"KAFKA_{name}"].rpartition(",RELAYED://")
        assert own == described["environment"][f"KAFKA_{name}"]
        assert added.endswith(listener)
    assert relayed({**described, "network_mode": "host"}, 29092, 29093) is None
    assert relayed({**described, "environment": {}}, 29092, 29093) is None


def test_images_that_were_built_here_are_never_looked_up():
    for service in loaded(BUILT)["services"].values():
        assert service["pull_policy"] == "never"
        assert service["image"].startswith("lab/")


def test_the_versions_of_built_images_are_those_of_the_native_servers():
    services = loaded(BUILT)["services"]
    for name in ("kafka", "dynamodb"):
        pom = (ROOT / "harness/servers/native/poms" / f"{name}.xml").read_text()
        version = re.search(r"<version>([^<$]+)", pom)[1]
        assert services[name]["image"] == f"lab/{name}:{version}"
    locked = (ROOT / "requirements/umadb.txt").read_text()
    version = re.search(r"^umadb==(\S+)", locked, re.M)[1]
    assert services["umadb"]["image"] == f"lab/umadb:{version}"
    assert loaded(OFFICIAL)["services"]["umadb"]["image"] == f"umadb/umadb:{version}"


def test_a_later_file_lies_over_an_earlier_one():
    services = compose.built().services()
    assert services["kafka"]["image"].startswith("lab/")
    assert services["kafka"]["environment"]["KAFKA_NODE_ID"] == "1"
    assert services["eventstoredb"]["image"].startswith("eventstore/")


def without_a_name(file: Path, folder: Path) -> Path:
    copy = folder / f"{file.parent.name}.yml"
    copy.write_text(re.sub(r"^name:.*$", "", file.read_text(), flags=re.M))
    return copy


def compose_command():
    if shutil.which("docker"):
        asked = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
        if asked.returncode == 0:
            return ["docker", "compose"]
    return ["docker-compose"] if shutil.which("docker-compose") else None


@pytest.mark.skipif(compose_command() is None, reason="docker: no Compose to check its files with")
@pytest.mark.parametrize("files", [[OFFICIAL], [OFFICIAL, BUILT]], ids=["official", "built"])
def test_compose_itself_accepts_the_files(files, tmp_path):
    command = compose_command()
    if command == ["docker-compose"]:  # v1 refuses the project's name and nothing else
        files = [without_a_name(file, tmp_path) for file in files]
    named = [word for file in files for word in ("-f", str(file))]
    done = subprocess.run(
        [*command, *named, "config", "--quiet"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
