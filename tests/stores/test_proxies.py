"""A proxy that the environment names: never taken to loopback, elsewhere taken and said.

DynamoDB Local and UmaDB are real. EventStoreDB is the double, which speaks gRPC over real sockets.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import pytest

from harness.domain.factory import StoreFactory
from harness.domain.flags import sentence
from harness.domain.store import Endpoint
from harness.domain.workload import Catalogue
from harness.run.session import Session
from harness.scenario.names import StoreRef
from harness.servers import Server
from harness.stores import kinds
from harness.workloads import kinds as workloads

from ..proxying import named_by, proxy
from .contract.support import append, events, read
from .subject import fresh

pytest.importorskip("esdbclient")
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy")


@pytest.fixture
def dynamodb(servers) -> Server:
    """DynamoDB Local, started before the test is on the loop."""
    return servers("dynamodb")


@pytest.fixture
def eventstoredb(double) -> Server:
    """The double, started before the test is on the loop."""
    return double()


def factory(technology: str, endpoint: Endpoint, variant: str = "", **options: object):
    kind = kinds()[technology]
    return StoreFactory(kind.variants[variant], fresh(endpoint), kind.options(**options))


async def use(how: StoreFactory) -> None:
    """Everything that a trial asks of a server, but with three events."""
    async with how.set_up() as store:
        await append(store, "order-1", events(3))
        assert len(await read(store, "order-1")) == 3
        await store.settings()


@pytest.fixture
def umadb(servers) -> Server:
    """A real UmaDB, started before the test is on the loop."""
    return servers("umadb")


@pytest.mark.parametrize("spelling", [str.lower, str.upper])
@pytest.mark.parametrize("driver", ["boto3", "http"])
async def test_dynamodb_local_is_never_reached_through_a_proxy(
    dynamodb, monkeypatch, driver, spelling
):
    async with proxy(urlsplit(dynamodb.endpoint.address).port) as unwanted:
        named_by(monkeypatch, **dict.fromkeys(map(spelling, VARIABLES), unwanted.url))
        await use(factory("dynamodb", dynamodb.endpoint, driver=driver))
        assert unwanted.asked_for == []


@pytest.mark.parametrize("variant", ["", "plain"])
async def test_eventstoredbs_double_on_loopback_is_never_reached_through_a_proxy(
    eventstoredb, monkeypatch, variant
):
    async with proxy(urlsplit(eventstoredb.endpoint.address).port) as unwanted:
        named_by(monkeypatch, **dict.fromkeys(VARIABLES, unwanted.url))
        await use(factory("eventstoredb", eventstoredb.endpoint, variant))
        assert unwanted.asked_for == []


@pytest.mark.parametrize("driver", ["boto3", "http"])
@pytest.mark.parametrize("spelling", [str.lower, str.upper])
async def test_dynamodb_elsewhere_is_reached_through_the_proxy_by_both_drivers(
    dynamodb, monkeypatch, driver, spelling
):
    async with proxy(urlsplit(dynamodb.endpoint.address).port) as wanted:
        named_by(monkeypatch, **{spelling("http_proxy"): wanted.url})
        elsewhere = Endpoint(
            "http://dynamo.invalid:8000", credentials=dynamodb.endpoint.credentials
        )
        await use(factory("dynamodb", elsewhere, driver=driver))
        assert {line.split()[1] for line in wanted.asked_for} == {"http://dynamo.invalid:8000/"}


async def test_umadb_on_loopback_is_never_reached_through_a_proxy(umadb, monkeypatch):
    async with proxy(urlsplit(umadb.endpoint.address).port) as unwanted:
        named_by(monkeypatch, **dict.fromkeys(VARIABLES, unwanted.url))
        await use(factory("umadb", umadb.endpoint))
        assert unwanted.asked_for == []


@pytest.mark.parametrize("variable", ["grpc_proxy", "HTTPS_PROXY"])
async def test_umadb_elsewhere_is_reached_through_the_proxy(umadb, monkeypatch, variable):
    async with proxy(urlsplit(umadb.endpoint.address).port) as wanted:
        named_by(monkeypatch, **{variable: wanted.url})
        await use(factory("umadb", Endpoint("grpc://uma.invalid:50051")))
        assert {line.split()[1] for line in wanted.asked_for} == {"uma.invalid:50051"}


@pytest.mark.parametrize("variable", ["grpc_proxy", "HTTPS_PROXY"])
async def test_eventstoredbs_double_elsewhere_is_reached_through_the_proxy(
    eventstoredb, monkeypatch, variable
):
    async with proxy(urlsplit(eventstoredb.endpoint.address).port) as wanted:
        named_by(monkeypatch, **{variable: wanted.url})
        elsewhere = Endpoint("esdb://events.invalid:2113?tls=false")
        async with factory("eventstoredb", elsewhere).set_up() as store:
            await append(store, "order-1", events(3))
        assert {line.split()[1] for line in wanted.asked_for} == {"events.invalid:2113"}


async def test_a_run_names_and_flags_the_proxy_that_its_stores_go_through(
    dynamodb, monkeypatch, tmp_path
):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "eslab")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "eslab")
    monkeypatch.setenv("ESLAB_DYNAMODB_ENDPOINT", "http://dynamo.invalid:8000")
    async with proxy(urlsplit(dynamodb.endpoint.address).port) as wanted, AsyncExitStack() as stack:
        named_by(monkeypatch, http_proxy=wanted.url.replace("//", "//ann:hunter2@"))
        session = Session(
            Catalogue(kinds(), workloads()),
            out=tmp_path,
            stack=stack,
            note=lambda _: None,
        )
        session.choose_ways(["dynamodb"], "auto")
        _, placed = await session.place(
            StoreRef("dynamodb", options=kinds()["dynamodb"].options()), "1"
        )
        await session.paths.to(placed, 0.0)
        named = wanted.url.removeprefix("http://")
        assert session.described_servers()["dynamodb"]["proxy"] == named
        (path,) = session.paths.described("dynamodb")
        assert (path["kind"], path["round_trip_us"]) == ("proxy", None)
        assert [sentence([flag]) for flag in session.flags()] == [
            f"through a proxy: dynamodb ({named})"
        ]
