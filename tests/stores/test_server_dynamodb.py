"""DynamoDB Local as the lab's own process: its settings, its ends, and what stands in its way."""

import asyncio
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import boto3
import psutil
import pytest

from harness.domain.errors import BadInput, NoServer
from harness.domain.store import Endpoint
from harness.servers import choose_way, probe, serving
from harness.servers.external import dynamodb_address
from harness.stores.dynamodb import STORE, clients
from harness.stores.dynamodb.declaration import storage_of
from tests.stores.at_a_port import DynamoAt, running
from tests.stores.subject import fresh
from tests.unit.paths import ODD

READY = probe("dynamodb", "native")
native = pytest.mark.skipif(not READY.ready, reason=f"native dynamodb: {READY.detail}")


@native
def test_where_its_tables_are_kept_is_read_back_from_the_process(servers):
    assert storage_of(servers("dynamodb").endpoint) == "memory"
    assert storage_of(servers("dynamodb", surviving=True).endpoint) == "file"


@native
def test_it_runs_in_a_folder_of_any_name_and_leaves_nothing_in_the_temporary_one(
    tmp_path, monkeypatch
):
    """Not even the native library that it unpacks, 0.9 MB a start."""
    odd = tmp_path / ODD
    odd.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(odd))

    async def start():
        async with serving(
            "dynamodb", way="native", scratch=odd / "scratch", settings={"storage": "file"}
        ) as server:
            store = await STORE.variants[""].connect(
                replace(server.endpoint, namespace="eslab_odd"), STORE.options(driver="http")
            )
            await store.setup()
            await store.aclose()
            (home,) = (odd / "scratch").iterdir()
            assert list((home / "data").glob("*.db"))
            opened = {each.path for each in psutil.Process(server.endpoint.pid).memory_maps()}
            return home.name, [path for path in opened if "libsqlite4java" in path]

    name, libraries = asyncio.run(start())
    assert len(libraries) == 1
    assert libraries[0].startswith(f"/tmp/{name}/")
    assert not Path("/tmp", name).exists()
    assert [each.name for each in odd.iterdir()] == ["scratch"]
    assert list((odd / "scratch").iterdir()) == []


@native
def test_a_port_in_use_is_one_clear_line(tmp_path):
    async def start(port):
        async with running(DynamoAt(port), tmp_path):
            pass

    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(NoServer) as refused:
        asyncio.run(start(taken.getsockname()[1]))
    assert str(refused.value).startswith("dynamodb: did not start: ")
    assert "in use" in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"storage": "tape"}, "dynamodb: storage: 'tape' is none of memory, file"),
        ({"port": "80"}, "dynamodb: 'port' is not a setting that a scenario may declare"),
        ({"dbPath": "/"}, "dynamodb: 'dbPath' is not a setting that a scenario may declare"),
    ],
)
@native
def test_a_setting_that_is_wrong_is_bad_input(tmp_path, settings, message):
    async def start():
        async with serving("dynamodb", way="native", scratch=tmp_path, settings=settings):
            pass

    with pytest.raises(BadInput) as refused:
        asyncio.run(start())
    assert str(refused.value) == message


WITHOUT = """
from harness.servers import probe
print(probe("dynamodb", "native").detail)
"""


@pytest.mark.parametrize(
    ("there", "advice"),
    [
        ([], "install Java 17 or later (a JRE is enough)"),
        (["java"], "install Maven (mvn): it fetches dynamodb's jars once"),
    ],
)
def test_without_java_or_maven_one_line_says_what_to_install(tmp_path, there, advice):
    for name in there:
        script = tmp_path / name
        script.write_text("#!/bin/sh\necho 'openjdk version \"17.0.1\"' >&2\n")
        script.chmod(0o755)
    environment = {"PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = [sys.executable, "-c", WITHOUT]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert answer.stdout.splitlines() == [advice]


def test_a_java_that_is_too_old_is_named(tmp_path):
    script = tmp_path / "java"
    script.write_text("#!/bin/sh\necho 'java version \"1.8.0_392\"' >&2\n")
    script.chmod(0o755)
    command = [sys.executable, "-c", WITHOUT]
    environment = {"PATH": str(tmp_path)}
    answer = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    message = answer.stdout.strip()
    assert message == f"{script} is version 8; install Java 17 or later, or set JAVA_HOME to it"


@native
def test_artefacts_out_of_reach_are_one_line(tmp_path, monkeypatch):
    """Maven offline, in a home with an empty repository."""
    (tmp_path / ".m2").mkdir()
    (tmp_path / ".m2" / "settings.xml").write_text("<settings><offline>true</offline></settings>")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("MAVEN_OPTS", f"-Duser.home={tmp_path}")

    async def start():
        async with serving("dynamodb", way="native", scratch=tmp_path / "scratch"):
            pass

    with pytest.raises(NoServer) as refused:
        asyncio.run(start())
    assert str(refused.value).startswith("Maven could not fetch dynamodb's jars: ")
    assert "\n" not in str(refused.value)
    assert "://" not in str(refused.value)


def test_an_address_is_taken_apart_and_never_repeated():
    assert dynamodb_address("http://127.0.0.1:8000/").address == "http://127.0.0.1:8000"
    assert dynamodb_address("https://db.example").hosts == (("db.example", 443),)
    for text in ("", "8000", "http://", "ftp://a", "http://a:b", "http://a/b", "http://k:s3cret@a"):
        with pytest.raises(ValueError, match=r"expected|credentials") as wrong:
            dynamodb_address(text)
        assert "s3cret" not in str(wrong.value)


@native
def test_a_server_by_address_is_used_with_the_environments_credentials(
    tmp_path, monkeypatch, servers
):
    """And without any, one line says so."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(clients, "aws_session", boto3.session.Session)  # as in a new process
    monkeypatch.setenv("ESLAB_DYNAMODB_ENDPOINT", servers("dynamodb").endpoint.address)
    assert choose_way(["dynamodb"], "auto").ways == {"dynamodb": "external"}

    async def use(driver):
        async with serving("dynamodb", scratch=tmp_path) as server:
            options, endpoint = STORE.options(driver=driver), fresh(server.endpoint)
            with pytest.raises(NoServer, match="AWS_ACCESS_KEY_ID"):
                await STORE.variants[""].connect(endpoint, options)
            with monkeypatch.context() as environment:
                environment.setenv("AWS_ACCESS_KEY_ID", "ann")
                environment.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
                store = await STORE.variants[""].connect(endpoint, options)
                await store.setup()
                assert (await store.settings())["storage"] == "unknown"
                assert "hunter2" not in repr(endpoint)
                await store.teardown()
                await store.aclose()

    for driver in ("boto3", "http"):
        asyncio.run(use(driver))


@native
def test_what_is_no_dynamodb_is_told_in_one_line(tmp_path):
    """Somebody else's HTTP server at the address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        await reader.readline()
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno")
        await writer.drain()
        writer.close()

    async def ask(driver):
        wrong = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = wrong.sockets[0].getsockname()[1]
        endpoint = dynamodb_address(f"http://127.0.0.1:{port}")
        keys = {"access_key": "a", "secret_key": "b"}
        async with wrong:
            await STORE.variants[""].connect(
                Endpoint(endpoint.address, credentials=keys), STORE.options(driver=driver)
            )

    for driver in ("boto3", "http"):
        with pytest.raises(NoServer, match=r"^dynamodb: no DynamoDB answers at the address"):
            asyncio.run(ask(driver))
