"""HTTP as DynamoDB's client speaks it: scripted servers answer as a real one does on a bad day.

What a real server answers is in `tests/stores`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest

from harness.domain.proxies import Proxy
from harness.stores.dynamodb import posting
from harness.stores.dynamodb.driver import NotReached, Unanswered
from harness.stores.dynamodb.posting import Poster

from .. import certificates
from ..proxying import proxy

WITHIN_S = 20.0
"""For what must end; nothing here takes that long."""
END = "end"
"""In a script: the server closes the connection."""
NEVER = "never"
"""In a script: no answer."""


def answer(body: bytes = b"{}", status: str = "200 OK", *more: str) -> bytes:
    lines = "".join(f"{line}\r\n" for line in more)
    head = f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{lines}\r\n"
    return head.encode() + body


@dataclass
class Scripted:
    """A server that answers its nth request with the nth entry, wherever that comes from."""

    script: Sequence[bytes | str]
    url: str = ""
    heads: list[bytes] = field(default_factory=list)
    """Of the requests, in order."""
    connections: int = 0
    busiest: int = 0
    """Most connections that were open at a time."""
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by the first request."""
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client has closed a connection instead of waiting for ever."""
    _open: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open += 1
        self.busiest = max(self.busiest, self._open)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split()[0])
                await reader.readexactly(length)
                self.heads.append(head)
                self.asked.set()
                entry = self.script[len(self.heads) - 1]
                if entry == NEVER:
                    await reader.read()
                    self.left.set()
                if isinstance(entry, str):
                    return
                writer.write(entry)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open -= 1
            writer.close()


@asynccontextmanager
async def scripted(
    *script: bytes | str, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Scripted]:
    subject = Scripted(script)
    server = await asyncio.start_server(subject.serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    subject.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/"
    try:
        yield subject
    finally:
        server.close()


def poster(url: str, *, through: Proxy | None = None, connections: int = 4) -> Poster:
    return Poster(url, proxy=through, connections=connections, connect_within_s=WITHIN_S)


async def post(subject: Poster, payload: bytes = b"{}") -> posting.Answer:
    async with asyncio.timeout(WITHIN_S):
        return await subject.post({"host": "db", "x-amz-target": "PutItem"}, payload)


async def test_a_request_has_its_headers_its_length_and_one_connection_for_all():
    async with scripted(answer(b"one"), answer(b"two", "400 Bad Request")) as server:
        subject = poster(f"{server.url}a path/")
        assert await post(subject, b"12345") == (200, b"one")
        assert await post(subject) == (400, b"two")
        subject.close()
    assert server.connections == 1
    first, *lines, _, _ = server.heads[0].split(b"\r\n")
    assert first == b"POST /a%20path/ HTTP/1.1"
    assert lines == [b"host: db", b"x-amz-target: PutItem", b"content-length: 5"]


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        (CHUNKED, b"abcde"),
        (b"HTTP/1.1 102 Processing\r\n\r\n" + answer(b"late"), b"late"),
        (answer(b"x" * 1_000_000), b"x" * 1_000_000),
        (answer(b""), b""),
    ],
)
async def test_answers_come_whole_however_they_are_sent(sent, body):
    async with scripted(sent, answer(b"next")) as server:
        subject = poster(server.url)
        assert await post(subject) == (200, body)
        assert await post(subject) == (200, b"next")
        subject.close()
    assert server.connections == 1


@pytest.mark.parametrize(
    "first",
    [
        answer(b"{}", "200 OK", "connection: close"),
        answer() + answer(b"nobody asked"),
        answer() + b"no HTTP at all",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}",
    ],
    ids=["closed by the server", "more than was asked for", "no HTTP after it", "HTTP 1.0"],
)
async def test_a_connection_that_cannot_be_used_again_is_not(first):
    async with scripted(first, answer(b"second")) as server:
        subject = poster(server.url)
        assert await post(subject) == (200, b"{}")
        assert await post(subject) == (200, b"second")
        subject.close()
    assert server.connections == 2


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (END, "^ConnectionResetError: closed before the answer ended"),
        (b"no HTTP at all\r\n\r\n", "^HttpParserError: Expected HTTP"),
        (b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: other\r\n\r\nmore",
         "^HttpParserUpgrade: "),
        (b"HTTP/1.1 200 OK\r\ncontent-length: two\r\n\r\n{}", "^HttpParserError: "),
    ],
)  # fmt: skip
async def test_an_answer_that_is_none_leaves_the_outcome_open_and_the_next_call_alone(broken, why):
    loop, bugs = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _, bug: bugs.append(bug))
    async with scripted(broken, answer(b"second")) as server:
        subject = poster(server.url)
        with pytest.raises(Unanswered, match=why):
            await post(subject)
        assert await post(subject) == (200, b"second")
        subject.close()
    loop.set_exception_handler(None)
    assert (server.connections, bugs) == (2, [])


async def test_half_an_answer_is_none():
    async with scripted(answer(b"0123456789")[:-3]) as server:
        subject = poster(server.url)
        calling = asyncio.create_task(post(subject))
        await server.asked.wait()
        subject.close()
        with pytest.raises(Unanswered):
            await calling


async def test_a_call_that_is_cancelled_takes_its_connection_with_it():
    """Its answer may still come, and would be taken for the next call's."""
    async with scripted(NEVER, answer(b"second")) as server:
        subject = poster(server.url, connections=1)
        calling = asyncio.create_task(post(subject))
        await server.asked.wait()
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        await asyncio.wait_for(server.left.wait(), WITHIN_S)
        assert await post(subject) == (200, b"second")
        subject.close()
    assert server.connections == 2


async def test_no_more_connections_than_allowed_and_everybody_has_a_turn():
    async with scripted(*[answer()] * 40) as server:
        subject = poster(server.url, connections=3)
        assert set(await asyncio.gather(*(post(subject) for _ in range(40)))) == {(200, b"{}")}
        subject.close()
    assert server.connections == server.busiest == 3


async def test_a_connection_that_was_idle_for_long_is_not_used(monkeypatch):
    """The server may close it at the moment of the next request, whose outcome would be unknown."""
    async with scripted(answer(), answer()) as server:
        subject = poster(server.url)
        await post(subject)
        monkeypatch.setattr(posting, "_KEPT_FOR_S", 0.0)
        await post(subject)
        subject.close()
    assert server.connections == 2


async def test_a_connection_that_the_server_closed_meanwhile_is_not_used():
    async with scripted(answer(), answer(b"second")) as server:
        subject = poster(server.url)
        await post(subject)
        (connection,) = subject._idle
        connection._transport.close()
        assert await post(subject) == (200, b"second")
        subject.close()
    assert server.connections == 2


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid", "x" * 70])
async def test_nobody_there_means_that_nothing_was_sent(host):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(NotReached, match=r".+"):
        await post(poster(f"http://{host}:{port}/"))


@pytest.fixture
def secured(tmp_path, monkeypatch) -> ssl.SSLContext:
    """A server's, whose certificate the client trusts."""
    certificate, key = certificates.made(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


async def test_over_tls_the_servers_certificate_is_asked_for(secured, monkeypatch):
    async with scripted(answer(b"secret"), tls=secured) as server:
        subject = poster(server.url)
        assert await post(subject) == (200, b"secret")
        subject.close()
        monkeypatch.delenv("SSL_CERT_FILE")
        with pytest.raises(NotReached, match="certificate verify failed"):
            await post(poster(server.url))
    assert len(server.heads) == 1


async def test_tls_through_a_proxy_is_between_client_and_server(secured):
    """The proxy is a real one, and learns the server's name and what is meant for itself."""
    async with scripted(answer(b"secret"), answer(), tls=secured) as server:
        port = urlsplit(server.url).port
        async with proxy(port) as between:
            through = Proxy(between.url.replace("//", "//ann:p%40ss@"), "127.0.0.1", 0)
            subject = poster(f"https://eslab.invalid:{port}/", through=through)
            assert await post(subject) == (200, b"secret")
            assert await post(subject) == (200, b"{}")
            subject.close()
    assert between.asked_for == [f"CONNECT eslab.invalid:{port} HTTP/1.1"]
    assert [head.split(b"\r\n")[0] for head in server.heads] == [b"POST / HTTP/1.1"] * 2
    assert all(b"proxy-authorization" not in head for head in server.heads)


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "the proxy refused: HTTP/1.1 407"),
        (b"", "the proxy closed"),
        (b"x" * 100_000, "the proxy refused: x{100}$"),
    ],
)
async def test_a_proxy_that_opens_no_way_means_that_nothing_was_sent(reply, why):
    asked, left = [], asyncio.Event()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(reply or b"HTTP/1.1 ")
        if reply:
            await reader.read()
        left.set()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        through = Proxy(f"http://ann:p%40ss@127.0.0.1:{port}", "127.0.0.1", port)
        with pytest.raises(NotReached, match=why):
            await post(poster("https://eslab.invalid/", through=through))
        await asyncio.wait_for(left.wait(), WITHIN_S)
    finally:
        server.close()
    assert asked == [
        b"CONNECT eslab.invalid:443 HTTP/1.1\r\nhost: eslab.invalid:443\r\n" + USER + b"\r\n\r\n"
    ]


USER = b"proxy-authorization: Basic YW5uOnBAc3M="
"""Of a proxy at http://ann:p%40ss@…"""


async def test_plain_http_through_a_proxy_names_the_whole_url_and_the_proxys_user():
    async with scripted(answer()) as server:
        url = server.url.rstrip("/").replace("//", "//ann:p%40ss@")
        subject = poster("http://eslab.invalid:8000/", through=Proxy(url, "127.0.0.1", 0))
        assert await post(subject) == (200, b"{}")
        subject.close()
    first, user, *_ = server.heads[0].split(b"\r\n")
    assert first == b"POST http://eslab.invalid:8000/ HTTP/1.1"
    assert user == USER
