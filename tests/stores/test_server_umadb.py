"""UmaDB as the lab's own process: its settings, what stands in its way, and by address."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from harness.domain.errors import BadInput, NoServer
from harness.servers import choose_way, http2, probe, serving
from harness.servers.native.umadb import UmaRecipe
from harness.stores.umadb import STORE

from .. import certificates
from .at_a_port import UmaAt, UmaSecured, running
from .contract.support import append, read
from .subject import fresh

READY = probe("umadb", "native")
native = pytest.mark.skipif(not READY.ready, reason=f"native umadb: {READY.detail}")


async def used(endpoint) -> dict[str, str]:
    """What a trial asks of a server, with one event; its settings."""
    store = await STORE.variants[""].connect(fresh(endpoint), STORE.options(deadline_s=5.0))
    try:
        await store.setup()
        await append(store, "order-1")
        assert len(await read(store, "order-1")) == 1
        await store.teardown()
        return dict(await store.settings())
    finally:
        await store.aclose()


@native
def test_its_settings_reach_it_and_the_environment_s_do_not(tmp_path, monkeypatch):
    monkeypatch.setenv("UMADB_LISTEN", "0.0.0.0:50051")
    monkeypatch.setenv("UMADB_API_KEY", "somebody's")
    monkeypatch.setenv("UMADB_ZERO_FILL_PAGES", "true")
    settings = {"read-method": "mmap", "zero-fill-pages": "false", "page-cache-max-mb": "8"}

    async def start() -> dict[str, str]:
        async with serving("umadb", way="native", scratch=tmp_path, settings=settings) as server:
            inherited = psutil.Process(server.endpoint.pid).environ()
            assert not [name for name in inherited if name.startswith("UMADB_")]
            return await used(server.endpoint)

    assert asyncio.run(start()) == {"version": READY.version, "sync": "every commit", **settings}
    assert list(tmp_path.iterdir()) == []


@native
def test_it_runs_in_a_folder_of_any_name(tmp_path):
    odd = tmp_path / "a, b: 'c' %20 ж\n"

    async def start() -> None:
        async with serving("umadb", way="native", scratch=odd) as server:
            await used(server.endpoint)
            await server.restart(cold=True)
            await used(server.endpoint)

    asyncio.run(start())
    assert list(odd.iterdir()) == []


@native
@pytest.mark.parametrize("there", ["nobody knows", "HTTP/1"])
def test_a_port_in_use_is_one_clear_line(tmp_path, there):
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if there == "HTTP/1":
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def start() -> None:
        taken = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = taken.sockets[0].getsockname()[1]
        assert not await http2.speaks("127.0.0.1", port)
        async with taken, running(UmaAt(port), tmp_path):
            pass

    with pytest.raises(NoServer) as refused:
        asyncio.run(start())
    assert str(refused.value).startswith("umadb: did not start: ")
    assert "in use" in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"read-method": "tape"}, "umadb: read-method: 'tape' is none of fileio, mmap"),
        ({"listen": "0.0.0.0:1"}, "umadb: 'listen' is not a setting that a scenario may declare"),
        ({"db-path": "/"}, "umadb: 'db-path' is not a setting that a scenario may declare"),
        ({"api-key": "k"}, "umadb: 'api-key' is not a setting that a scenario may declare"),
    ],
)
def test_a_setting_that_is_wrong_is_bad_input(settings, message):
    with pytest.raises(BadInput) as refused:
        UmaRecipe(settings)
    assert str(refused.value) == message


@native
def test_a_value_that_the_server_refuses_is_one_line(tmp_path):
    async def start() -> None:
        settings = {"page-cache-max-mb": "much"}
        async with serving("umadb", way="native", scratch=tmp_path, settings=settings):
            pass

    with pytest.raises(NoServer, match=r"^umadb: did not start: .*much") as refused:
        asyncio.run(start())
    assert "\n" not in str(refused.value)


WITHOUT = """
import sys
sys.modules["umadb"] = None
from harness.servers import probe
print(probe("umadb", "native").detail)
"""


def test_without_its_package_one_line_says_what_to_install():
    command = [sys.executable, "-c", WITHOUT]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    (line,) = answer.stdout.splitlines()
    assert line.startswith("pip install 'eventstore-lab[umadb]': its package has the server for")


@native
def test_a_server_by_address_is_used_over_tls_with_its_key(tmp_path, monkeypatch):
    certificate, key = certificates.made(tmp_path)

    async def use(key_of_client: str, authority: Path) -> dict[str, str]:
        recipe = UmaSecured(certificate, key, "s3cret")
        async with running(recipe, tmp_path / "scratch") as somebodys:
            where = somebodys.endpoint.address.removeprefix("grpc://")
            url = f"https://{key_of_client}{where}?ca={authority}"
            monkeypatch.setenv("ESLAB_UMADB_URL", url)
            assert choose_way(["umadb"], "auto").ways == {"umadb": "external"}
            async with serving("umadb", scratch=tmp_path) as server:
                assert "s3cret" not in repr(server.endpoint)
                return await used(server.endpoint)

    assert asyncio.run(use("s3cret@", certificate))["sync"] == "unknown"
    for wrong in ("", "another@"):
        with pytest.raises(NoServer, match=r"^umadb: UNAUTHENTICATED: .*API key"):
            asyncio.run(use(wrong, certificate))
    with pytest.raises(NoServer, match=r"missing\.pem' cannot be read: No such file"):
        asyncio.run(use("s3cret@", tmp_path / "missing.pem"))


@native
def test_a_folder_of_the_labs_own_is_where_its_data_lies(tmp_path):
    async def start() -> None:
        async with serving("umadb", way="native", scratch=tmp_path) as server:
            folder = await server.data_folder()
            assert (folder.path / "uma.db").stat().st_size > 0
            elsewhere = replace(server.endpoint, provider="external", pid=None)
            store = await STORE.variants[""].connect(elsewhere, STORE.options())
            assert await store.counts() == {}
            await store.aclose()

    asyncio.run(start())
