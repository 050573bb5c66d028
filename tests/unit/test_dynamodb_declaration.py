"""Which server answers as DynamoDB, and what follows from it."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from harness.domain.durability import Durability
from harness.domain.store import Emulated, Endpoint
from harness.stores.dynamodb import STORE
from harness.stores.dynamodb.declaration import (
    durability_of,
    emulator_of,
    server_of,
    storage_of,
)


@contextmanager
def answering(name, status):
    """The address of an HTTP server that calls itself by that name."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response_only(status)
            if name is not None:
                self.send_header("Server", name)
            self.send_header("x-amzn-RequestId", "made")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(
    ("name", "server"),
    [
        ("Jetty(12.0.14)", "DynamoDB Local"),
        ("Server", "unknown"),
        ("TwistedWeb/24.3.0", "unknown"),
        (None, "unknown"),
    ],
)
async def test_a_server_of_the_users_is_local_only_if_it_answers_as_local_does(
    name, server, status, monkeypatch
):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with answering(name, status) as address:
        assert await server_of(Endpoint(address, provider="external")) == server


async def test_nobody_at_the_address_is_unknown():
    assert await server_of(Endpoint("http://127.0.0.1:1", provider="external")) == "unknown"


@pytest.mark.parametrize("provider", ["native", "docker"])
async def test_a_server_of_the_labs_own_is_local_without_asking(provider):
    assert await server_of(Endpoint("http://127.0.0.1:1", provider=provider)) == "DynamoDB Local"


@pytest.mark.parametrize(
    ("host", "server"),
    [
        ("dynamodb.eu-central-1.amazonaws.com", "the service"),
        ("vpce-1.dynamodb.us-east-1.vpce.amazonaws.com", "the service"),
        ("dynamodb.cn-north-1.amazonaws.com.cn", "the service"),
        ("dynamodb.us-east-1.api.aws", "the service"),
        ("amazonaws.com.localhost", "unknown"),
        ("my-amazonaws.com.invalid", "unknown"),
    ],
)
async def test_the_service_is_known_by_its_domain(host, server):
    assert await server_of(Endpoint(f"http://{host}:1", provider="external")) == server


@pytest.mark.parametrize(
    ("storage", "durability"),
    [
        ("memory", Durability.MEMORY),
        ("file", Durability.BOUNDED_LOSS),
        ("unknown", Durability.UNKNOWN),
    ],
)
def test_only_a_known_storage_has_a_known_durability(storage, durability):
    assert durability_of({"storage": storage}) is durability


def test_no_storage_is_known_where_no_process_is():
    assert storage_of(Endpoint("http://127.0.0.1:1")) == "unknown"
    assert durability_of({}) is Durability.UNKNOWN


@pytest.mark.parametrize("variant", STORE.variants.values(), ids=list(STORE.variants))
def test_only_dynamodb_local_is_called_an_emulator(variant):
    assert issubclass(variant, Emulated)
    assert "emulator" in variant.emulator_of({"server": "DynamoDB Local"})
    for server in ("the service", "unknown"):
        assert variant.emulator_of({"server": server}) == ""
    assert emulator_of({}) == ""


@pytest.mark.parametrize("variant", STORE.variants.values(), ids=list(STORE.variants))
def test_files_are_declared_to_outlive_a_crash_and_positions_are_not(variant):
    declared = variant.declares(STORE.options())
    assert variant.limited(declared, {"storage": "memory"}) == declared
    on_files = variant.limited(declared, {"storage": "file"})
    assert (on_files.durability, on_files.gap_free_read) == (Durability.BOUNDED_LOSS, False)
