"""Which proxy the environment puts between the lab and a server; never one to loopback."""

from __future__ import annotations

import asyncio
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from harness.domain.errors import BadInput
from harness.domain.proxies import is_loopback, proxy_to
from harness.servers import probe
from harness.servers.docker.engine import engine

from ..proxying import named_by, proxy

PROXY = "http://gate.invalid:3128"
EVERYWHERE = dict.fromkeys(("http_proxy", "https_proxy", "grpc_proxy", "all_proxy"), PROXY)
LOOPBACK = (
    "127.0.0.1",
    "127.1",
    "127.200.3.4",
    "2130706433",
    "0.0.0.0",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "localhost",
    "LocalHost.",
    "dynamo.localhost",
)


@pytest.mark.parametrize("spelling", [str.lower, str.upper])
@pytest.mark.parametrize("host", LOOPBACK)
def test_no_address_of_loopback_has_a_proxy(monkeypatch, host, spelling):
    named_by(monkeypatch, **{spelling(name): url for name, url in EVERYWHERE.items()})
    assert is_loopback(host)
    for address in ("http://{}:8000", "https://{}", "esdb://{}:2113?tls=false", "kdb://{}:1"):
        assert proxy_to(address.format(host)) is None


@pytest.mark.parametrize("host", ["db.invalid", "192.0.2.7", "[2001:db8::1]", "localhost.invalid"])
def test_other_hosts_are_not_loopback(host):
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("address", "variables", "obeyed"),
    [
        ("http://db.invalid", {"http_proxy": PROXY}, True),
        ("http://db.invalid", {"HTTP_PROXY": PROXY}, True),
        ("http://db.invalid", {"HTTP_PROXY": PROXY, "http_proxy": ""}, False),
        ("http://db.invalid", {"https_proxy": PROXY}, False),
        ("https://db.invalid", {"HTTPS_PROXY": PROXY}, True),
        ("http://db.invalid", {"all_proxy": PROXY, "ALL_PROXY": PROXY}, False),
        ("esdb://db.invalid", {"all_proxy": PROXY}, False),
        ("esdb://db.invalid", {"http_proxy": PROXY}, True),
        ("grpc://db.invalid:1", {"https_proxy": PROXY}, True),
        ("grpcs://db.invalid:1", {"grpc_proxy": PROXY, "no_grpc_proxy": "db.invalid"}, False),
        ("grpc://db.invalid:1", {"all_proxy": PROXY}, False),
        ("esdb://db.invalid", {"GRPC_PROXY": PROXY}, True),
        ("esdb+discover://db.invalid", {"https_proxy": "gate.invalid:3128"}, True),
        ("esdb://db.invalid:1,localhost:2", {"http_proxy": PROXY}, False),
        ("postgresql://db.invalid", EVERYWHERE, False),
        ("db.invalid:9092", EVERYWHERE, False),
        ("http://db.invalid", {"http_proxy": PROXY, "no_proxy": "*"}, False),
        ("http://db.invalid", {"http_proxy": PROXY, "NO_PROXY": "a.invalid, .invalid"}, False),
        ("http://db.invalid", {"http_proxy": PROXY, "no_proxy": "b.invalid"}, True),
        ("http://adb.invalid", {"http_proxy": PROXY, "no_proxy": "db.invalid"}, True),
        ("http://db.invalid:8000", {"http_proxy": PROXY, "no_proxy": "db.invalid:8000"}, False),
        ("http://db.invalid:8000", {"http_proxy": PROXY, "no_proxy": "db.invalid:9"}, True),
        ("http://192.0.2.7:1", {"http_proxy": PROXY, "no_proxy": "192.0.2.0/24"}, False),
        ("http://[2001:db8::1]:1", {"http_proxy": PROXY, "no_proxy": "[2001:db8::1]"}, False),
        ("esdb://db.invalid", {"http_proxy": PROXY, "no_grpc_proxy": "db.invalid"}, False),
        ("http://db.invalid", {"http_proxy": PROXY, "no_grpc_proxy": "db.invalid"}, True),
    ],
)
def test_elsewhere_the_variables_decide(monkeypatch, address, variables, obeyed):
    named_by(monkeypatch, **variables)
    found = proxy_to(address)
    assert (str(found) if found else "") == ("gate.invalid:3128" if obeyed else "")


@pytest.mark.parametrize("url", ["socks5://gate.invalid:1080", "http://:1", "http://a:b:c"])
def test_a_proxy_that_no_driver_can_use_is_bad_input_in_one_line(monkeypatch, url):
    named_by(monkeypatch, http_proxy=url)
    with pytest.raises(BadInput, match="http_proxy: not a proxy that this server's driver can use"):
        proxy_to("http://db.invalid")
    monkeypatch.setenv("ESLAB_DYNAMODB_ENDPOINT", "http://db.invalid:8000")
    assert "http_proxy: not a proxy" in probe("dynamodb", "external").detail
    assert proxy_to("http://localhost:8000") is None


def test_the_password_of_a_proxy_is_shown_to_nobody(monkeypatch):
    named_by(monkeypatch, http_proxy="http://ann:hunter2@gate.invalid")
    found = proxy_to("http://db.invalid")
    assert "hunter2" in found.url
    assert f"{found} {found!r}".count("hunter2") == 0
    assert str(found) == "gate.invalid:80"


async def test_behind_a_proxy_it_is_the_proxy_that_must_answer(monkeypatch):
    monkeypatch.setenv("ESLAB_DYNAMODB_ENDPOINT", "http://db.invalid:8000")
    async with proxy() as answering:
        named_by(monkeypatch, http_proxy=answering.url)
        answer = probe("dynamodb", "external")
        assert answer.ready
        assert answer.detail.endswith(f"through the proxy {answering.url.removeprefix('http://')}")
    named_by(monkeypatch, http_proxy="http://127.0.0.1:1")
    assert "no answer at the proxy 127.0.0.1:1" in probe("dynamodb", "external").detail


class Engine(BaseHTTPRequestHandler):
    """As much of an engine as the SDK asks to connect."""

    def do_GET(self):
        """Its version, to every question."""
        body = b'{"ApiVersion": "1.43", "MinAPIVersion": "1.12"}'
        self.send_response_only(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Nothing."""


def ask_the_engine() -> None:
    """In a thread: the proxy answers on the test's own."""
    with engine():
        pass


async def test_dockers_client_takes_no_proxy_to_an_engine_on_loopback(monkeypatch, tmp_path):
    pytest.importorskip("docker")
    command = tmp_path / "docker"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    server = HTTPServer(("127.0.0.1", 0), Engine)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        async with proxy(server.server_port) as unwanted:
            named_by(monkeypatch, all_proxy=unwanted.url, HTTP_PROXY=unwanted.url)
            monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_port}")
            await asyncio.to_thread(ask_the_engine)
            assert unwanted.asked_for == []
            assert "no_proxy" not in os.environ
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
