"""aiokafka at the edge: how a client connects, how it is closed, and the topic it works on."""

from __future__ import annotations

import asyncio
import importlib
import logging
import ssl
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, TypeVar

from harness.domain.store import Endpoint
from harness.stores.kafka.errors import CONNECTING, READING, aiokafka
from harness.stores.kafka.options import KafkaOptions

T = TypeVar("T")
# It reports every retry; what comes of them is the error of a call.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
MS_A_SECOND = 1000
_CLOSE_WITHIN_S = 1.0


def part(name: str) -> Any:
    """A module of aiokafka that it does not load by itself. Raises `MissingExtra`."""
    _ = aiokafka.errors
    return importlib.import_module(f"aiokafka.{name}")


def connection(endpoint: Endpoint, *, deadline_s: float) -> dict[str, Any]:
    """Arguments of every client: where the cluster is and how to be let in."""
    given = endpoint.credentials
    security = given.get("security", "PLAINTEXT")
    found: dict[str, Any] = {
        "bootstrap_servers": endpoint.address,
        "security_protocol": security,
        "request_timeout_ms": round(deadline_s * MS_A_SECOND),
        "retry_backoff_ms": 50,
    }
    if security.endswith("SSL"):
        found["ssl_context"] = ssl.create_default_context(cafile=given.get("ca"))
    if security.startswith("SASL"):
        found["sasl_mechanism"] = given["mechanism"]
        found["sasl_plain_username"] = given["username"]
        found["sasl_plain_password"] = given["password"]
    return found


async def started(client: Any, *, deadline_s: float) -> Any:
    """The client, started; closed again where that fails. Raises `StoreUnavailable`."""
    try:
        with CONNECTING:
            async with asyncio.timeout(deadline_s):
                await client.start()
    except BaseException:
        await closed(client)
        raise
    return client


async def closed(client: Any) -> None:
    """Say goodbye, but do not wait long for a broker that does not listen."""
    if isinstance(client, aiokafka.AIOKafkaProducer) and not await _flushed(client):
        await _abandon(client)
        return
    closing = asyncio.ensure_future(client.stop() if hasattr(client, "stop") else client.close())
    await within(_CLOSE_WITHIN_S, closing)


async def _flushed(producer: Any) -> bool:
    flushing = asyncio.ensure_future(producer.flush())
    await within(_CLOSE_WITHIN_S, flushing)
    return not flushing.cancelled()


async def _abandon(producer: Any) -> None:
    """What `stop` does, without the wait for unsent records, which would leave its task behind."""
    producer._closed = True
    sender = producer._sender
    if sender is not None and sender.sender_task is not None:
        sender.sender_task.cancel()
        await within(_CLOSE_WITHIN_S, sender.sender_task)
    await within(_CLOSE_WITHIN_S, asyncio.ensure_future(producer.client.close()))


async def within(limit_s: float, work: asyncio.Future[Any]) -> None:
    """Wait for work up to a limit, then cancel it. Its errors are dropped."""
    done, _ = await asyncio.wait([work], timeout=limit_s)
    if not done:
        work.cancel()
        done, _ = await asyncio.wait([work], timeout=limit_s)
    if work in done and not work.cancelled():
        work.exception()


async def reading(work: Awaitable[T], *, deadline_s: float) -> T:
    """A call that only reads, within the deadline, its errors in the lab's words."""
    with READING:
        async with asyncio.timeout(deadline_s):
            return await work


@dataclass(frozen=True, slots=True)
class Target:
    """A topic: where it is, how many partitions it has, and how it is used."""

    endpoint: Endpoint
    options: KafkaOptions
    partitions: int

    @property
    def topic(self) -> str:
        """Its name: the namespace."""
        return self.endpoint.namespace
