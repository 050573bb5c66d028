"""Servers by address, with a listening socket of this test as the other side."""

import asyncio
import socket

import pytest

from harness.domain.errors import NoServer
from harness.servers import UnsupportedByServer, probe, serving
from harness.servers.external import External, postgres_address

VARIABLE = "ESLAB_POSTGRES_DSN"


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def refusing():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_an_address_where_somebody_listens_is_ready(monkeypatch, listening):
    monkeypatch.setenv(VARIABLE, f"postgresql://ann:hunter2@127.0.0.1:{listening}/shop")
    answer = probe("postgres", "external")
    assert answer.ready
    assert answer.detail == f"{VARIABLE}: 127.0.0.1:{listening}"


def test_a_unix_socket_is_knocked_at_too(monkeypatch, tmp_path):
    path = tmp_path / ".s.PGSQL.5432"
    monkeypatch.setenv(VARIABLE, f"postgresql:///shop?host={tmp_path}")
    assert not probe("postgres", "external").ready
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        assert probe("postgres", "external").ready


def test_the_first_host_that_answers_is_enough(monkeypatch, listening, refusing):
    hosts = f"127.0.0.1:{refusing},127.0.0.1:{listening}"
    monkeypatch.setenv(VARIABLE, f"postgresql://{hosts}/shop")
    assert probe("postgres", "external").ready


def test_a_refused_connection_is_one_line_without_the_password(monkeypatch, refusing, tmp_path):
    monkeypatch.setenv(VARIABLE, f"postgresql://ann:hunter2@127.0.0.1:{refusing}/shop")

    async def enter():
        async with serving("postgres", way="external", scratch=tmp_path):
            pytest.fail("there is no server")

    with pytest.raises(NoServer) as caught:
        asyncio.run(enter())
    expected = f"{VARIABLE}: no answer at 127.0.0.1:{refusing} (Connection refused)"
    assert expected in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_the_lab_may_do_nothing_to_somebody_elses_server(monkeypatch, listening, tmp_path):
    monkeypatch.setenv(VARIABLE, f"postgresql://ann:hunter2@127.0.0.1:{listening}/shop")

    async def hurt():
        async with serving("postgres", scratch=tmp_path) as server:
            assert not server.controllable
            assert server.endpoint.provider == "external"
            assert server.endpoint.credentials == {"password": "hunter2"}
            assert "hunter2" not in repr(server.endpoint)
            assert server.statistics().cpu_s is None
            for act in (server.restart, server.kill, server.pause, server.resume):
                with pytest.raises(UnsupportedByServer, match=f"external server .{VARIABLE}"):
                    await act()

    asyncio.run(hurt())


def test_settings_for_somebody_elses_server_are_refused_not_dropped(monkeypatch, tmp_path):
    monkeypatch.setenv(VARIABLE, "postgresql://db/shop")
    way = External("postgres", VARIABLE, postgres_address)
    with pytest.raises(NoServer, match="cannot set shared_buffers on the server"):
        way.server(scratch=tmp_path, settings={"shared_buffers": "1GB"})
