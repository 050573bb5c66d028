"""A process that carries bytes between a local port and a server, and fails on command.

Run as a script; needs nothing but Python. It prints its port, obeys one command a line on its
standard input, answers each with a line once it is in force, and ends with its standard input.
A connection through it costs two system calls a message and no task, queue or timer.
"""

from __future__ import annotations

import errno
import heapq
import os
import resource
import select
import selectors
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Callable
from itertools import count

_CHUNK_BYTES = 64 * 1024
_QUEUED_MAX = 64 * 1024 * 1024
"""Bytes under way in one direction; then the sender waits."""
_BACKLOG = 1024
"""Connections that the kernel accepts while the network is cut."""
_KNOCK_S = 1.0
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_UNDER_WAY = (errno.EINPROGRESS, errno.EWOULDBLOCK)
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
Place = tuple[int, str | tuple[str, int]]
"""A family and an address."""


class Selector(selectors.DefaultSelector):
    """Waits to the microsecond: `epoll` alone waits in whole milliseconds."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout > 0:
            select.select([self.fileno()], [], [], timeout)
            timeout = 0
        return super().select(timeout)


class End:
    """One socket of a link: the source of one way and the sink of the other."""

    __slots__ = ("inward", "link", "mask", "outward", "socket")

    def __init__(self, link: Link, connected: socket.socket) -> None:
        self.link, self.socket, self.mask = link, connected, 0
        self.inward: Way
        self.outward: Way

    def attend(self) -> None:
        """Wait for what this end can do now, and for nothing else."""
        link, mask = self.link, 0
        if not link.relay.cut and not link.broken and not link.dumb:
            if link.open and not self.inward.ended and self.inward.bytes < _QUEUED_MAX:
                mask |= READ
            if self.outward.blocked or not (link.open or self is link.client):
                mask |= WRITE
        if mask == self.mask:
            return
        selector = link.relay.selector
        if not self.mask:
            selector.register(self.socket, mask, self.ready)
        elif mask:
            selector.modify(self.socket, mask, self.ready)
        else:
            selector.unregister(self.socket)
        self.mask = mask

    def ready(self, mask: int) -> None:
        """Something can be read or written, or a connection is made."""
        if not self.mask:
            return  # by an event of the same turn
        if mask & WRITE:
            if not self.link.open and not self.link.connected():
                return
            self.outward.blocked = False
            self.outward.deliver(time.monotonic())
        if mask & self.mask & READ:
            try:
                data = self.socket.recv(_CHUNK_BYTES)
            except BlockingIOError:
                return
            except OSError:
                self.link.failed(self)
                return
            self.inward.arrived(data)


class Way:
    """One direction of a link: what has arrived and has not left, in its order."""

    __slots__ = (
        *("answers", "blocked", "bytes", "due_s", "ended"),
        *("link", "over", "queue", "sink", "waits"),
    )

    def __init__(self, link: Link, sink: End, *, answers: bool) -> None:
        self.link, self.sink, self.answers = link, sink, answers
        self.queue: deque[tuple[float, bytes]] = deque()
        self.bytes, self.due_s = 0, 0.0
        self.blocked = self.ended = self.over = self.waits = False

    def arrived(self, data: bytes) -> None:
        """Pass it on, at once or later; nothing stands for the end."""
        relay = self.link.relay
        if not data:
            self.ended = True
            self.link.attend()
        if self.answers and relay.deaf:
            if not relay.passing:
                self.link.torn = True
                return
            relay.passing -= 1
        if not relay.late_s and not self.queue:
            self._write(data)
            return
        self.due_s = max(self.due_s, time.monotonic() + relay.late_s)
        self.queue.append((self.due_s, data))
        self.bytes += len(data)
        if len(self.queue) == 1:
            relay.wake(self)
        if self.bytes >= _QUEUED_MAX:
            self.link.attend()

    def deliver(self, now_s: float) -> None:
        """Write what is due, as far as the other side takes it."""
        full = self.bytes >= _QUEUED_MAX
        while self.queue and not self.blocked and self.link.whole:
            due_s, data = self.queue[0]
            if due_s > now_s:
                self.link.relay.wake(self)
                break
            self.queue.popleft()
            self.bytes -= len(data)
            self._write(data)
        if full or not self.blocked:
            self.link.attend()

    def lose(self) -> None:
        """Drop what is under way."""
        self.link.torn = self.link.torn or bool(self.queue)
        self.queue.clear()
        self.bytes, self.blocked = 0, False
        self.link.attend()

    def _write(self, data: bytes) -> None:
        if not data:
            self.over = True
            self._end()
            return
        try:
            sent = self.sink.socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.link.failed(self.sink)
            return
        if sent < len(data):
            self.queue.appendleft((0.0, data[sent:]))
            self.bytes += len(data) - sent
            self.blocked = True
            self.link.attend()

    def _end(self) -> None:
        try:
            self.sink.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.link.failed(self.sink)
            return
        self.link.close_if_over()


class Link:
    """A client's connection and the one to the server that belongs to it."""

    __slots__ = ("broken", "client", "dumb", "open", "relay", "server", "torn")

    def __init__(self, relay: Relay, client: socket.socket, server: socket.socket) -> None:
        self.relay = relay
        self.open = self.broken = False
        self.torn = self.dumb = False
        """Whether answers of it were lost, so that it is never continued; and whether its server
        has gone while the client must not know."""
        self.client, self.server = End(self, client), End(self, server)
        requests = Way(self, self.server, answers=False)
        answers = Way(self, self.client, answers=True)
        self.client.inward = self.server.outward = requests
        self.server.inward = self.client.outward = answers

    @property
    def ways(self) -> tuple[Way, Way]:
        return self.client.inward, self.server.inward

    def attend(self) -> None:
        self.client.attend()
        self.server.attend()

    @property
    def whole(self) -> bool:
        return not self.broken and not self.dumb

    def connected(self) -> bool:
        """Whether the server has accepted."""
        if self.server.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.failed(self.server, reset=False)
            return False
        self.open = True
        self.attend()
        return True

    def failed(self, end: End, *, reset: bool = True) -> None:
        """One side has broken; while answers are lost, the client does not hear of it."""
        if self.relay.deaf and end is self.server:
            self.torn = self.dumb = True
            self.attend()
        else:
            self.break_(reset=reset)

    def close_if_over(self) -> None:
        if all(way.over for way in self.ways):
            self.break_(reset=False)

    def break_(self, *, reset: bool = True) -> None:
        """Close both sides: what breaks on one breaks on the other, too."""
        if self.broken:
            return
        self.broken = True
        self.relay.links.discard(self)
        self.attend()
        for end in (self.client, self.server):
            if reset:
                end.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            end.socket.close()


class Relay:
    """All links, and what is wrong with all of them."""

    def __init__(self, target: Place, rtt_ms: float, port: int) -> None:
        self.selector = Selector()
        self.links: set[Link] = set()
        self.accepted = 0
        self.cut = self.deaf = False
        self.passing = 0
        """How many more pieces of answers pass before they are lost."""
        self.late_s = 0.0
        self._target = target
        self._rtt_ms, self._slower_ms = rtt_ms, 0.0
        self._due: list[tuple[float, int, Way]] = []
        self._numbers = count()
        self._commands = b""
        self._delay()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=_BACKLOG)
        self._listener.settimeout(0)
        self.port: int = self._listener.getsockname()[1]
        self._listen()

    def wake(self, way: Way) -> None:
        """Look at the way when the first piece of it is due."""
        if way.waits:
            return
        way.waits = True
        heapq.heappush(self._due, (way.queue[0][0], next(self._numbers), way))

    def run(self) -> None:
        """Carry and obey until standard input ends."""
        self.selector.register(sys.stdin, READ, self._obey)
        while True:
            wait_s = max(0.0, self._due[0][0] - time.monotonic()) if self._due else None
            for key, mask in self.selector.select(wait_s):
                ready: Callable[[int], None] = key.data
                ready(mask)
            now_s = time.monotonic()
            while self._due and self._due[0][0] <= now_s:
                self._deliver(heapq.heappop(self._due)[2], now_s)

    def _deliver(self, way: Way, now_s: float) -> None:
        way.waits = False
        if not self.cut:
            way.deliver(now_s)

    def _listen(self) -> None:
        self.selector.register(self._listener, READ, self._accept)

    def _accept(self, _: int) -> None:
        try:
            client, _address = self._listener.accept()
        except OSError:
            return  # it has gone again, or the system has no room for it yet
        self.accepted += 1
        family, address = self._target
        server = socket.socket(family)
        for each in (client, server):
            each.settimeout(0)
            if each.family != socket.AF_UNIX:
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        failed = server.connect_ex(address)
        if failed not in (0, *_UNDER_WAY):
            client.close()  # it was accepted before the server was asked
            server.close()
            return
        link = Link(self, client, server)
        link.open = failed == 0
        self.links.add(link)
        link.attend()

    def _obey(self, _: int) -> None:
        text = os.read(sys.stdin.fileno(), _CHUNK_BYTES)
        if not text:
            sys.exit()
        *lines, self._commands = (self._commands + text).split(b"\n")
        for line in lines:
            name, _blank, rest = line.decode().partition(" ")
            answer = COMMANDS[name](self, rest)
            sys.stdout.write(f"{answer or 'done'}\n")
            sys.stdout.flush()

    def _cut(self, _: str) -> None:
        self.cut = True
        self.selector.unregister(self._listener)
        self._attend()

    def _reset(self, _: str) -> None:
        for link in list(self.links):
            link.break_()

    def _lose(self, after: str) -> None:
        self.deaf, self.passing = True, int(after)
        if not self.passing:
            for link in self.links:
                link.server.inward.lose()

    def _slow(self, rtt_ms: str) -> None:
        self._slower_ms = float(rtt_ms)
        self._delay()

    def _length(self, rtt_ms: str) -> None:
        self._rtt_ms = float(rtt_ms)
        self._delay()

    def _restore(self, _: str) -> None:
        self._slow("0")
        if self.deaf:
            self.deaf = False
            for link in [each for each in self.links if each.torn]:
                link.break_()
        if self.cut:
            self.cut = False
            self._listen()
            self._attend()
            for way in [way for link in self.links for way in link.ways if way.queue]:
                self.wake(way)

    def _retarget(self, rest: str) -> None:
        port, _, host = rest.partition(" ")
        self._target = place(host, int(port))

    def _connections(self, _: str) -> str:
        return str(self.accepted)

    def _delay(self) -> None:
        self.late_s = (self._rtt_ms + self._slower_ms) / 2 / 1000

    def _attend(self) -> None:
        for link in list(self.links):
            link.attend()


COMMANDS: dict[str, Callable[[Relay, str], str | None]] = {
    "cut": Relay._cut,
    "reset": Relay._reset,
    "lose": Relay._lose,
    "slow": Relay._slow,
    "restore": Relay._restore,
    "length": Relay._length,
    "target": Relay._retarget,
    "connections": Relay._connections,
}


def place(host: str, port: int) -> Place:
    """Where to connect; port 0 makes the host the path of a unix socket.

    Of several addresses of a host (`localhost` has two) the first that accepts.
    """
    if not port:
        return socket.AF_UNIX, host
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    places: list[Place] = [(each[0], (str(each[4][0]), int(each[4][1]))) for each in found]
    accepting = (each for each in places if _accepts(each))
    return places[0] if len(places) == 1 else next(accepting, places[0])


def _accepts(there: Place) -> bool:
    with socket.socket(there[0]) as knocking:
        knocking.settimeout(_KNOCK_S)
        return knocking.connect_ex(there[1]) == 0


def main() -> None:
    """`relay.py HOST PORT RTT_MS LISTEN`; a LISTEN of 0 takes any free port."""
    host, port, rtt_ms, listen = sys.argv[1:]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    relay = Relay(place(host, int(port)), float(rtt_ms), int(listen))
    sys.stdout.write(f"{relay.port}\n")
    sys.stdout.flush()
    relay.run()


if __name__ == "__main__":
    main()
