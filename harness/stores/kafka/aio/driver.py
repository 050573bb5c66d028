"""aiokafka, loaded on first use: how its clients are made, and what its errors mean."""

from __future__ import annotations

import asyncio
import importlib
import logging
import ssl
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, TypeVar

from harness.errors import (
    AppendRefused,
    EventTooLarge,
    OutcomeUnknown,
    ReadFailed,
    ReadTimeout,
    StoreError,
    StoreUnavailable,
)
from harness.store import Endpoint
from harness.stores.drivers import lazy

if TYPE_CHECKING:
    import aiokafka as aiokafka  # noqa: PLC0414 - handed on
else:
    aiokafka = lazy("aiokafka", extra="kafka")

T = TypeVar("T")
# It tells of every retry; what comes of them is the error of a call.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
MS_A_SECOND = 1000
_CLOSE_WITHIN_S = 1.0


def part(name: str) -> Any:
    """A module of aiokafka that it does not load by itself. Raises `MissingExtra`."""
    _ = aiokafka.errors
    return importlib.import_module(f"aiokafka.{name}")


def connection(endpoint: Endpoint, *, deadline_s: float) -> dict[str, Any]:
    """Arguments of every client: where the cluster is and how to be let in."""
    told = endpoint.credentials
    security = told.get("security", "PLAINTEXT")
    found: dict[str, Any] = {
        "bootstrap_servers": endpoint.address,
        "security_protocol": security,
        "request_timeout_ms": round(deadline_s * MS_A_SECOND),
        "retry_backoff_ms": 50,
    }
    if security.endswith("SSL"):
        found["ssl_context"] = ssl.create_default_context(cafile=told.get("ca"))
    if security.startswith("SASL"):
        found["sasl_mechanism"] = told["mechanism"]
        found["sasl_plain_username"] = told["username"]
        found["sasl_plain_password"] = told["password"]
    return found


def errors() -> tuple[type[BaseException], ...]:
    """Everything that aiokafka raises, and what it lets through."""
    return (aiokafka.errors.KafkaError, OSError, TimeoutError)


def append_error(error: BaseException) -> StoreError:
    """The answer to "was it written?" in what was raised after a message was handed over."""
    kafka = aiokafka.errors
    if isinstance(error, kafka.MessageSizeTooLargeError | kafka.InvalidMessageError):
        return EventTooLarge(str(error))
    if isinstance(error, kafka.TopicAuthorizationFailedError | kafka.InvalidTopicError):
        return AppendRefused(str(error), reason=type(error).__name__)
    return OutcomeUnknown(f"Kafka: {_told(error)}")


def uncommitted_error(error: BaseException) -> StoreError:
    """What was raised before a commit was asked for: nobody will ever see the transaction."""
    known = append_error(error)
    if isinstance(known, OutcomeUnknown):
        return AppendRefused(f"aborted: {_told(error)}", reason=type(error).__name__)
    return known


def read_error(error: BaseException) -> StoreError:
    """What was raised during a read."""
    if isinstance(error, TimeoutError | aiokafka.errors.KafkaTimeoutError):
        return ReadTimeout("Kafka did not answer before the deadline")
    return ReadFailed(f"Kafka: {_told(error)}")


async def started(client: Any, *, deadline_s: float) -> Any:
    """The client, started; closed again where that fails. Raises `StoreUnavailable`."""
    try:
        async with asyncio.timeout(deadline_s):
            await client.start()
    except BaseException as error:
        await closed(client)
        if isinstance(error, errors()):
            raise StoreUnavailable(f"no connection to Kafka: {_told(error)}") from error
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
    """Wait for work so long; then end it. Errors of work that nobody waits for are dropped."""
    done, _ = await asyncio.wait([work], timeout=limit_s)
    if not done:
        work.cancel()
        done, _ = await asyncio.wait([work], timeout=limit_s)
    if work in done and not work.cancelled():
        work.exception()


async def reading(work: Awaitable[T], *, deadline_s: float) -> T:
    """A call that only reads, within the deadline, its errors in the lab's words."""
    try:
        async with asyncio.timeout(deadline_s):
            return await work
    except errors() as error:
        raise read_error(error) from error


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
