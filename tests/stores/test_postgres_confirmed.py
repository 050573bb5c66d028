"""A server of the user's that is not as asked, or where others would be hurt: nothing is made.

The poolers are real pgbouncers, where that is on PATH. Everywhere a login trigger of a real
PostgreSQL moves the connection as such a pooler does: into the user's own schema.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from harness.cli.doctor import tried
from harness.domain.errors import NoServer, Unsuitable
from harness.domain.factory import StoreFactory
from harness.domain.store import Endpoint
from harness.domain.workload import Catalogue
from harness.run.session import Session
from harness.scenario.names import StoreRef
from harness.servers import Server, probe, serving
from harness.servers.local import free_ports
from harness.stores import kinds
from harness.workloads import kinds as workloads

from .contract.support import append, events
from .subject import fresh

asyncpg = pytest.importorskip("asyncpg")
READY = probe("postgres", "native")
pytestmark = pytest.mark.skipif(not READY.ready, reason=f"native postgres: {READY.detail}")
POSTGRES = kinds()["postgres"]
DROPPED = "search_path,synchronous_commit,default_transaction_isolation,client_min_messages"
LOGIN_TRIGGER = """
CREATE FUNCTION move() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM set_config({setting}, {value}, false); END $$;
CREATE EVENT TRIGGER moving ON login EXECUTE FUNCTION move();
ALTER EVENT TRIGGER moving ENABLE ALWAYS;
"""
MADE = """
SELECT nspname::text FROM pg_namespace
UNION ALL SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
UNION ALL SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace
ORDER BY 1
"""


@pytest.fixture(scope="module")
def server(runner, tmp_path_factory) -> Iterator[Server]:
    """Somebody's, with logical replication."""
    stack = AsyncExitStack()
    settings = {"wal_level": "logical"}
    scratch = tmp_path_factory.mktemp("postgres")
    serve = serving("postgres", way="native", scratch=scratch, settings=settings)
    yield runner.run(stack.enter_async_context(serve))
    runner.run(stack.aclose())


@asynccontextmanager
async def database(server: Server, script: str = "SELECT") -> AsyncIterator[str]:
    """The address of a new database in which its owner has run a script."""
    address, name = server.endpoint.address, "shop"
    await run(address, f"CREATE DATABASE {name}")
    shop = address.replace("/postgres?", f"/{name}?")
    try:
        await run(shop, script)
        yield shop
    finally:
        slots = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
        await run(address, slots)
        await run(address, f"DROP DATABASE {name} WITH (FORCE)")


async def run(address: str, script: str) -> None:
    connection = await asyncpg.connect(address)
    try:
        await connection.execute(script)
    finally:
        await connection.close()


async def made(address: str) -> list[str]:
    """Every schema, and what is in the user's own."""
    connection = await asyncpg.connect(address)
    try:
        return [row[0] for row in await connection.fetch(MADE)]
    finally:
        await connection.close()


def account_of(sockets: Path) -> list[str]:
    """Options for a pooler, which does not run as root: as who can reach the server's socket."""
    return ["-u", pwd.getpwuid(sockets.stat().st_uid).pw_name] if os.geteuid() == 0 else []


@asynccontextmanager
async def pooler(shop: str, folder: Path, mode: str) -> AsyncIterator[str]:
    """The address of a real pgbouncer in front of a database, which drops what the lab asks."""
    (port,) = free_ports(1)
    sockets, parts = parse_qs(urlsplit(shop).query), urlsplit(shop)
    settings = folder / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n* = host={sockets['host'][0]} port={sockets['port'][0]} user=postgres\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\n"
        f"pool_mode = {mode}\nunix_socket_dir =\n"
        f"ignore_startup_parameters = {DROPPED},enable_seqscan,extra_float_digits\n"
    )
    user = account_of(Path(sockets["host"][0]))
    process = await asyncio.create_subprocess_exec("pgbouncer", "-q", *user, str(settings))
    try:
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                break
            except OSError:
                await asyncio.sleep(0.01)
        writer.close()
        yield f"postgresql://postgres@127.0.0.1:{port}{parts.path}"
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def dropping(server: Server, way: str, folder: Path) -> AsyncIterator[tuple[str, str]]:
    """An address whose connections are not as they were asked to be, and the database's own."""
    if way == "login-trigger":
        script = LOGIN_TRIGGER.format(setting="'search_path'", value="'public'")
        async with database(server, script) as shop:
            yield shop, shop
        return
    mode = way.removeprefix("pgbouncer-")
    async with database(server) as shop, pooler(shop, folder, mode) as address:
        yield address, shop


def factory(address: str, variant: str = "", **options: object) -> StoreFactory:
    adapter, chosen = POSTGRES.variants[variant], POSTGRES.options(**options)
    return StoreFactory(adapter, fresh(Endpoint(address, provider="external")), chosen)


POOLER = pytest.mark.skipif(shutil.which("pgbouncer") is None, reason="needs pgbouncer on PATH")
WAYS = [
    "login-trigger",
    pytest.param("pgbouncer-transaction", marks=POOLER),
    pytest.param("pgbouncer-session", marks=POOLER),
]


@pytest.mark.parametrize("way", WAYS)
async def test_a_connection_that_is_not_in_the_labs_schema_is_refused_before_anything_is_made(
    server: Server, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
):
    async with dropping(server, way, tmp_path) as (address, shop), AsyncExitStack() as stack:
        before = await made(shop)
        monkeypatch.setenv("ESLAB_POSTGRES_DSN", address)
        session = Session(
            Catalogue(kinds(), workloads()),
            out=tmp_path,
            stack=stack,
            note=lambda _: None,
        )
        session.choose_ways(["postgres"], "auto")
        store = StoreRef("postgres", options=POSTGRES.options())
        with pytest.raises(NoServer, match=r"search_path = 'eslab_.*_0' is '.*public'") as caught:
            await session.place(store, "1")
        assert "past any pooler" in str(caught.value)
        assert "credentials" not in str(caught.value)
        assert "\n" not in str(caught.value)
        assert await made(shop) == before


@pytest.mark.parametrize(
    ("setting", "value", "options"),
    [
        ("synchronous_commit", "off", {}),
        ("synchronous_commit", "on", {"synchronous_commit": "off"}),
        ("default_transaction_isolation", "serializable", {}),
        ("enable_seqscan", "on", {}),
    ],
)
async def test_any_setting_that_a_login_trigger_changes_is_refused(
    server: Server, setting: str, value: str, options: dict[str, str]
):
    script = LOGIN_TRIGGER.format(setting=f"'{setting}'", value=f"'{value}'")
    async with database(server, script) as shop:
        with pytest.raises(Unsuitable, match=rf"{setting} = '[a-z ]+' is '{value}'"):
            await factory(shop, **options).open()


async def test_the_transaction_that_makes_the_schema_is_asked_again(server: Server):
    async with database(server) as shop, factory(shop).opened() as store:
        before = await made(shop)
        # As a pooler does that gives each transaction another connection.
        connection = await store._session.pool.take()
        await connection.execute("SET search_path = public")
        store._session.pool.give_back(connection)
        with pytest.raises(Unsuitable, match="search_path"):
            await store.setup()
        assert await made(shop) == before


BYSTANDERS = {
    "publication": (
        "CREATE PUBLICATION everything FOR ALL TABLES",
        "publication everything is FOR ALL TABLES",
    ),
    "slot": (
        "SELECT pg_create_logical_replication_slot('feed', 'test_decoding')",
        "logical replication slot feed would decode",
    ),
    "trigger": (
        "CREATE FUNCTION audit() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
        "CREATE EVENT TRIGGER auditing ON ddl_command_end EXECUTE FUNCTION audit()",
        "event trigger auditing would fire",
    ),
}


@pytest.mark.parametrize("variant", ["", "template"])
@pytest.mark.parametrize("bystander", BYSTANDERS)
async def test_a_database_where_others_receive_everything_is_refused_before_anything_is_made(
    server: Server, bystander: str, variant: str
):
    script, told = BYSTANDERS[bystander]
    async with database(server, script) as shop:
        before = await made(shop)
        with pytest.raises(Unsuitable, match=f"{told}.*CREATE DATABASE eslab"):
            async with factory(shop, variant).set_up():
                pytest.fail("it was set up")
        assert await made(shop) == before


@pytest.mark.parametrize(
    ("script", "user", "told"),
    [
        ("SELECT", "postgres", "was made and removed, with every setting as asked"),
        ("SELECT", "mean", "permission denied for database shop"),
        (BYSTANDERS["publication"][0], "postgres", "publication everything is FOR ALL TABLES"),
    ],
)
async def test_the_doctor_tries_in_one_line_what_a_run_needs(
    server: Server, monkeypatch: pytest.MonkeyPatch, script: str, user: str, told: str
):
    role = "DO 'BEGIN CREATE ROLE mean LOGIN; EXCEPTION WHEN duplicate_object THEN END'"
    async with database(server, f"{role}; {script}") as shop:
        before = await made(shop)
        monkeypatch.setenv("ESLAB_POSTGRES_DSN", shop.replace("postgres@", f"{user}@"))
        row = {"technology": "postgres", "way": "external", "ready": True, "detail": ""}
        lines = await asyncio.to_thread(tried, [row])
        assert told in lines["postgres"]
        assert "\n" not in lines["postgres"]
        assert row["ready"] == ("as asked" in told)
        assert await made(shop) == before


async def test_a_publication_of_the_users_own_tables_and_its_slot_are_no_hindrance(server: Server):
    script = (
        "CREATE TABLE orders (id int PRIMARY KEY); CREATE PUBLICATION own FOR TABLE orders;"
        "CREATE PUBLICATION shop FOR TABLES IN SCHEMA public;"
    )
    async with database(server, script) as shop:
        # A slot cannot be made in a transaction that has written.
        await run(shop, "SELECT pg_create_logical_replication_slot('feed', 'pgoutput')")
        async with factory(shop).set_up() as store:
            await append(store, "order-1", events(2))
