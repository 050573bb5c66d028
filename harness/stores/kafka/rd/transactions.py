"""Transactions with librdkafka, in a thread of their own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

from harness.errors import StoreUnavailable
from harness.stores.kafka.clients import Fenced, Target
from harness.stores.kafka.messages import Message
from harness.stores.kafka.rd.driver import append_error, confluent_kafka, uncommitted_error

_CLOSE_WITHIN_S = 0.5
_TRY_S = 1.0


class RdTransactions:
    """The owner of a topic's partitions while nobody else opens the same."""

    def __init__(self, target: Target, settings: dict[str, Any]) -> None:
        self._target, self._settings = target, settings
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kafka-transactions")
        self._producer: Any = None
        self._closing = False

    async def open(self) -> None:
        """Fence any other owner."""
        await self._called(self._open)

    async def write(self, messages: Sequence[Message]) -> list[int]:
        """Begin, send, commit; abort where a message was refused."""
        offsets: list[int] = await self._called(partial(self._write, messages))
        return offsets

    async def aclose(self) -> None:
        """Close, whatever state it is in; the next owner's start aborts what is open."""
        self._closing = True
        await self._called(self._close)
        self._thread.shutdown(wait=False)

    async def _called(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _open(self) -> None:
        self._producer = confluent_kafka.Producer(self._settings)
        ends_s = time.monotonic() + self._target.options.deadline_s
        try:
            self._until_done(partial(self._producer.init_transactions, _TRY_S), ends_s=ends_s)
        except confluent_kafka.KafkaException as error:
            raise StoreUnavailable(f"no transactions: {error.args[0].str()}") from error

    def _write(self, messages: Sequence[Message]) -> list[int]:
        offsets = [-1] * len(messages)
        failures: list[Any] = []
        try:
            self._producer.begin_transaction()
            for number, message in enumerate(messages):
                self._produce(message, partial(_delivered, offsets, failures, number))
            while self._producer.flush(_TRY_S) and not self._closing:
                continue
        except confluent_kafka.KafkaException as error:
            raise self._undone(error.args[0]) from error
        if failures:
            raise self._undone(failures[0])
        self._commit()
        return offsets

    def _produce(self, message: Message, on_delivery: Callable[[Any, Any], None]) -> None:
        key, value, headers = message
        while True:
            try:
                self._producer.produce(
                    self._target.topic, value, key, on_delivery=on_delivery, headers=headers
                )
            except BufferError:
                self._producer.poll(_TRY_S)
            else:
                return

    def _commit(self) -> None:
        try:
            self._until_done(partial(self._producer.commit_transaction, _TRY_S))
        except confluent_kafka.KafkaException as error:
            told = error.args[0]
            if _fenced(told):
                raise Fenced(committing=True) from error
            if told.txn_requires_abort():
                self._abort()
            raise append_error(told) from error

    def _until_done(self, call: Callable[[], None], *, ends_s: float = float("inf")) -> None:
        """A call that timed out may be called again, and goes on where it was."""
        while True:
            try:
                call()
            except confluent_kafka.KafkaException as error:
                if not error.args[0].retriable() or self._closing or time.monotonic() > ends_s:
                    raise
            else:
                return

    def _undone(self, error: Any) -> Exception:
        """What happened before the commit; the transaction is aborted."""
        if _fenced(error):
            return Fenced(committing=False)
        self._abort()
        return uncommitted_error(error)

    def _abort(self) -> None:
        """Where that fails, the next owner's start does it."""
        with suppress(confluent_kafka.KafkaException):
            self._until_done(partial(self._producer.abort_transaction, _TRY_S))

    def _close(self) -> None:
        if self._producer is not None:
            self._producer.purge()
            self._producer.flush(_CLOSE_WITHIN_S)


def _delivered(
    offsets: list[int], failures: list[Any], number: int, error: Any, message: Any
) -> None:
    if error is not None:
        failures.append(error)
    else:
        offsets[number] = message.offset()


def _fenced(error: Any) -> bool:
    codes = confluent_kafka.KafkaError
    fencing = (codes._FENCED, codes.PRODUCER_FENCED, codes.INVALID_PRODUCER_EPOCH)
    return error.code() in fencing
