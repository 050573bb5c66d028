"""Owning a topic: fence whoever had it, know its heads, write one group after another."""

from __future__ import annotations

from contextlib import aclosing

from harness.errors import AppendRefused, OutcomeUnknown, StoreError
from harness.stores.kafka.clients import Fenced, Transactions
from harness.stores.kafka.connection import Connection
from harness.stores.kafka.grouping import Group
from harness.stores.kafka.heads import Heads


class Owner:
    """One connection's claim on a topic, from its first append until another claims it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._transactions: Transactions | None = None
        self.heads = Heads(connection.target.partitions)
        self.fenced = False
        """Another owner took over: this one never writes again."""

    async def group(self) -> Group:
        """A group on heads that are up to date. Raises `NotWritten`: nothing was sent."""
        if self.fenced:
            raise _refusal()
        if self._transactions is None:
            await self._claim()
        return Group(self.heads)

    async def write(self, group: Group) -> list[int]:
        """Write it; the offsets of its messages. Raises `NotWritten` or `OutcomeUnknown`."""
        assert self._transactions is not None
        try:
            offsets = await self._transactions.write(group.messages)
        except Fenced as error:
            self.fenced = True
            raise _unknown() if error.committing else _refusal() from error
        except StoreError:
            # The next claim aborts what is open, waits for what is being committed and reads it.
            await self.release()
            raise
        group.written(offsets)
        return offsets

    async def release(self) -> None:
        """Close the producer; the heads stay, up to where they were read."""
        transactions, self._transactions = self._transactions, None
        if transactions is not None:
            await transactions.aclose()

    async def _claim(self) -> None:
        transactions = self._connection.driver.transactions()
        try:
            # First: it ends the old owner's transaction, so that the log has an end.
            await transactions.open()
            starts = dict(enumerate(self.heads.places))
            async with aclosing(self._connection.scanner.scan(starts)) as pages:
                async for page in pages:
                    self.heads.learn(page)
        except BaseException:
            await transactions.aclose()
            raise
        self._transactions = transactions


def _refusal() -> AppendRefused:
    return AppendRefused("another owner took the topic over; connect again", reason="Fenced")


def _unknown() -> OutcomeUnknown:
    return OutcomeUnknown("another owner took the topic over during the commit")
