"""`ESLAB_POSTGRES_DSN` at a real PostgreSQL that asks for a password, and at what is none."""

import asyncio
import socket

import pytest

from harness.servers import choose_way, probe, serving
from tests.stores.at_a_port import PostgresOnTcp, running

asyncpg = pytest.importorskip("asyncpg")
READY = probe("postgres", "native")
pytestmark = pytest.mark.skipif(not READY.ready, reason=f"native postgres: {READY.detail}")


@pytest.fixture
def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


async def use_as_external(port, scratch, monkeypatch):
    """Somebody's server, named by its address alone."""
    async with running(PostgresOnTcp(port), scratch) as somebodys:
        owner = await asyncpg.connect(somebodys.endpoint.address)
        await owner.execute("create role ann login password 'hunter%2'")
        await owner.close()
        dsn = f"postgresql://ann:hunter%252@127.0.0.1:{port}/postgres"
        monkeypatch.setenv("ESLAB_POSTGRES_DSN", dsn)
        assert choose_way(["postgres"], "auto").ways == {"postgres": "external"}
        async with serving("postgres", scratch=scratch) as server:
            endpoint = server.endpoint
            connection = await asyncpg.connect(endpoint.address, **endpoint.credentials)
            assert await connection.fetchval("select current_user") == "ann"
            await connection.close()
        assert await still_answers(somebodys)


async def still_answers(server):
    connection = await asyncpg.connect(server.endpoint.address)
    try:
        return await connection.fetchval("select true")
    finally:
        await connection.close()


def test_a_server_by_address_is_used_and_left_running(tmp_path, free_port, monkeypatch):
    asyncio.run(use_as_external(free_port, tmp_path, monkeypatch))
    answer = probe("postgres", "external")
    assert not answer.ready
    assert f"no answer at 127.0.0.1:{free_port}" in answer.detail
    assert "hunter" not in repr(answer)
