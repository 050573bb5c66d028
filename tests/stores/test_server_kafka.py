"""A real Kafka broker of the lab's own: started, set, hurt, restarted, refused and removed."""

import asyncio
import importlib
import shutil
import socket
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from harness.domain.errors import BadInput, NoServer
from harness.domain.store import NewEvent, StreamState
from harness.servers import choose_way, probe, serving
from harness.servers.native import maven
from harness.servers.native.kafka import POM, SETTINGS, escaped
from harness.stores import kinds
from tests.unit.paths import ODD

pytest.importorskip("aiokafka")
READY = probe("kafka", "native")
pytestmark = pytest.mark.skipif(not READY.ready, reason=f"native kafka: {READY.detail}")
KIND = kinds()["kafka"]


def with_server(act, scratch, **options):
    async def enter():
        async with serving("kafka", way="native", scratch=scratch, **options) as server:
            return await act(server)

    return asyncio.run(enter())


def refusal(scratch, error=NoServer, **options):
    async def never(server):
        pytest.fail("it started")

    with pytest.raises(error) as caught:
        with_server(never, scratch, **options)
    message = str(caught.value)
    assert "\n" not in message
    if "(log: " in message:
        Path(message.rpartition("(log: ")[2].rstrip(")")).unlink()
    return message


@pytest.fixture(scope="module")
def broker(runner, tmp_path_factory):
    """One with a setting of the scenario's."""
    scratch, settings = tmp_path_factory.mktemp("broker"), {"log.flush.interval.messages": "7"}
    serve = serving("kafka", way="native", scratch=scratch, settings=settings)
    server = runner.run(serve.__aenter__())
    yield server
    runner.run(serve.__aexit__(None, None, None))


async def broker_settings(server):
    admin = importlib.import_module("aiokafka.admin")
    client = admin.AIOKafkaAdminClient(bootstrap_servers=server.endpoint.address)
    await client.start()
    try:
        resource = admin.config_resource
        node = resource.ConfigResource(resource.ConfigResourceType.BROKER, "1")
        (answer,) = await client.describe_configs([node])
        return {entry[0]: entry[1] for entry in answer.resources[0][4]}
    finally:
        await client.close()


def test_it_runs_in_a_folder_of_any_name_and_keeps_its_log_there(tmp_path, monkeypatch):
    """Its own, the temporary one and that of its jars."""
    odd = tmp_path / ODD
    (odd / "cache" / "eslab").mkdir(parents=True)
    jars = maven.jars("kafka", POM)
    shutil.copytree(jars, odd / "cache" / "eslab" / jars.name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(odd / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(odd))
    monkeypatch.setenv("LC_ALL", "C")

    async def act(server):
        assert server.statistics().disk_bytes > 0
        (home,) = (odd / "scratch").iterdir()
        kept = sorted(each.name for each in home.iterdir())
        return home.name, kept, server.endpoint.pid

    name, kept, pid = with_server(act, odd / "scratch")
    assert not psutil.pid_exists(pid)
    assert kept == ["data", "server.log", "server.properties"]
    assert list((odd / "scratch").iterdir()) == []
    assert sorted(each.name for each in odd.iterdir()) == ["cache", "scratch"]
    assert not Path("/tmp", name).exists()


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("a\\b", "a\\\\b"),
        (" a", "\\ a"),
        ("é", "\\u00e9"),
        ("𝄞", "\\ud834\\udd1e"),
        ("a,b=c:d#", "a,b=c:d#"),
    ],
)
def test_a_value_is_escaped_as_a_properties_file_needs_it(value, line):
    assert escaped(value) == line


async def test_it_answers_on_the_loopback_with_the_settings_that_it_promises(broker):
    assert broker.controllable
    assert (broker.endpoint.provider, broker.endpoint.version) == ("native", READY.version)
    settings = await broker_settings(broker)
    assert settings["auto.create.topics.enable"] == "false"
    assert SETTINGS.values.keys() <= settings.keys(), "a scenario may declare what there is"
    assert settings["log.flush.interval.messages"] == "7"
    session_ms = int(settings["broker.session.timeout.ms"])
    assert session_ms < 9000, "Kafka's own keeps a killed broker out for ten seconds"
    listening = [
        c.laddr.ip
        for c in psutil.Process(broker.endpoint.pid).net_connections("tcp")
        if c.status == "LISTEN"
    ]
    assert {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}


async def test_what_was_acknowledged_survives_a_kill(broker):
    endpoint = replace(broker.endpoint, namespace=f"eslab_{uuid4().hex[:8]}")
    store = await KIND.variants["single-writer"].connect(endpoint, KIND.options())
    async with aclosing(store):
        await store.setup()
        one = NewEvent(uuid4(), "T", b"{}")
        await store.append("order-1", [one], expected=StreamState.ANY)
        await broker.kill()
        await broker.restart()
        assert [each.id async for each in store.read_all()] == [one.id]
    assert broker.statistics().cpu_s > 0


@pytest.mark.parametrize("name", ["log.dirs", "metric.reporters", "listeners", "a b"])
def test_settings_that_are_the_labs_own_are_bad_input(tmp_path, name):
    message = refusal(tmp_path, BadInput, settings={name: "x"})
    assert message == f"kafka: {name!r} is not a setting that a scenario may declare"


def test_an_impossible_value_is_one_line_with_the_brokers_own_words(tmp_path):
    message = refusal(tmp_path, settings={"num.network.threads": "many"})
    assert "num.network.threads" in message


async def test_a_server_by_address_is_used_and_left_running(broker, tmp_path, monkeypatch):
    monkeypatch.setenv("ESLAB_KAFKA_BOOTSTRAP", broker.endpoint.address)
    assert choose_way(["kafka"], "auto").ways == {"kafka": "external"}
    async with serving("kafka", scratch=tmp_path) as server:
        assert (server.endpoint.provider, server.controllable) == ("external", False)
        store = await KIND.variants[""].connect(server.endpoint, KIND.options())
        await store.aclose()
    assert await broker_settings(broker)


def test_nobody_at_the_address_is_one_line(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("ESLAB_KAFKA_BOOTSTRAP", f"127.0.0.1:{port}")
    answer = probe("kafka", "external")
    assert not answer.ready
    assert f"no answer at 127.0.0.1:{port}" in answer.detail
