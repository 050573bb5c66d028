"""A process that carries bytes between a local port and a server, each way half a round trip late.

Run as a script; needs nothing but Python. It prints its port and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import selectors
import sys
import time
from collections.abc import Awaitable, Callable

_CHUNK_BYTES = 64 * 1024
_CHUNKS_MAX = 1024
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Opening = Callable[[], Awaitable[Streams]]


async def join(one: Streams, other: Streams, late_s: float) -> None:
    """Carry both ways until both have ended, or one has broken; then both are closed."""
    try:
        async with asyncio.TaskGroup() as both:
            both.create_task(carry(one[0], other[1], late_s))
            both.create_task(carry(other[0], one[1], late_s))
    except* OSError:
        pass  # a connection that breaks on one side breaks on the other, too
    finally:
        one[1].close()
        other[1].close()


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, late_s: float) -> None:
    """Forward everything in its order, each piece `late_s` after it arrived; then the end."""
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_CHUNKS_MAX)
    async with asyncio.TaskGroup() as group:
        group.create_task(_deliver(under_way, writer))
        data = b"-"
        while data:
            data = await reader.read(_CHUNK_BYTES)
            await under_way.put((time.monotonic() + late_s, data))


async def _deliver(
    under_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter
) -> None:
    while True:
        due_s, data = await under_way.get()
        await asyncio.sleep(due_s - time.monotonic())
        if not data:
            writer.write_eof()
            return
        writer.write(data)
        await writer.drain()


async def serve(open_target: Opening, late_s: float) -> None:
    """Relay until standard input ends."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            target = await open_target()
        except OSError:
            writer.close()  # the relay has accepted already: close it where the server refuses
            return
        await join((reader, writer), target, late_s)

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    over = asyncio.Event()
    # The lab never writes to it, so it becomes readable only at its end.
    asyncio.get_running_loop().add_reader(sys.stdin, over.set)
    await over.wait()


def _target(host: str, port: int) -> Opening:
    if port:
        return lambda: asyncio.open_connection(host, port)
    return lambda: asyncio.open_unix_connection(host)


def main() -> None:
    """`relay.py HOST PORT LATE_S`; port 0 makes the host the path of a unix socket."""
    host, port, late_s = sys.argv[1:]
    # `epoll` waits in whole milliseconds, which is as long as what is to be added.
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(serve(_target(host, int(port)), float(late_s)))


if __name__ == "__main__":
    main()
