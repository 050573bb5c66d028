"""Calls to one namespace: errors in the lab's terms, retries of clashes, counted costs.

Costs are the capacity units that the server reports, and those of the service's rule: DynamoDB
Local reports one item's units for a whole transaction, whatever its size; the service bills each
item twice, a unit per started KB. No answer to a write whose condition failed reports units; the
service bills it like one that succeeded.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import Any

from harness.domain.costs import BILLED, READ_UNITS, ROUND_TRIPS, WRITE_UNITS, WRITE_UNITS_BY_RULE
from harness.domain.errors import (
    AppendRefused,
    BatchTooLarge,
    EventTooLarge,
    NoServer,
    NotSent,
    OutcomeUnknown,
    ReadFailed,
    ReadTimeout,
    StoreUnavailable,
)
from harness.domain.store import Endpoint, Position
from harness.stores._shared.driver_errors import Mapped, Meanings, Table
from harness.stores.dynamodb import items
from harness.stores.dynamodb.clients import BotoClient, HttpClient, aws_session
from harness.stores.dynamodb.declaration import DynamoOptions
from harness.stores.dynamodb.driver import (
    CLASH,
    CONDITION,
    Clashed,
    Client,
    Declined,
    ErrorAnswer,
    InProgress,
    Item,
    NotReached,
    Rejected,
    TooLate,
    Unanswered,
)

CLASHES = "clashes"
"""Tries that another transaction interfered with, in the costs."""
MISSING = "ResourceNotFoundException"
_SERVER_FAULT = 500
_CLASH_TRIES = 10
_CLASH_PAUSE_S = 0.005
_UNKNOWN_IDENTITY = frozenset(
    {
        "AccessDeniedException",
        "ExpiredTokenException",
        "IncompleteSignatureException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationTokenException",
        "UnrecognizedClientException",
    }
)
_UNIT_BYTES = 1024
_TRANSACTION_FACTOR = 2
_REGION = "us-east-1"
"""The region if the environment names none: DynamoDB Local accepts any."""


class Session:
    """One table under the namespace's name, and the calls to it."""

    def __init__(self, endpoint: Endpoint, options: DynamoOptions) -> None:
        self.endpoint, self.options = endpoint, options
        self.table = endpoint.namespace
        self.costs: Counter[str] = Counter(dict.fromkeys((*BILLED, ROUND_TRIPS, CLASHES), 0))
        """Round trips, clashes and consumed capacity units so far."""
        self.client: Client = (HttpClient if options.driver == "http" else BotoClient)(
            endpoint.address, endpoint.credentials, _region(), options
        )

    async def aclose(self) -> None:
        await self.client.aclose()

    async def write(self, operation: str, body: Item) -> dict[str, Any]:
        """A call that writes. Raises `Declined` for a failed condition.

        Raises `NotWritten` or `OutcomeUnknown` otherwise. A clash with another transaction wrote
        nothing and is soon over, so it is retried; only the service reports clashes. Each try is a
        round trip, and is counted as a clash. If an earlier try with the same token is still in
        progress after the last one, the outcome is unknown.
        """
        in_progress = False
        for tried in range(_CLASH_TRIES):
            try:
                with _APPENDING:
                    return await self._call(operation, body, WRITE_UNITS)
            except Clashed as clash:
                self.costs[CLASHES] += 1
                in_progress = in_progress or isinstance(clash, InProgress)
                await asyncio.sleep(_CLASH_PAUSE_S * 2**tried)
        if in_progress:
            raise OutcomeUnknown("an earlier try of the same transaction is still in progress")
        raise AppendRefused("every attempt conflicted with another transaction", reason=CLASH)

    async def look(self, operation: str, body: Item) -> dict[str, Any]:
        """A read before an append is sent: its errors are `NotWritten`."""
        with _LOOKING:
            return await self.read(operation, body)

    async def read(self, operation: str, body: Item) -> dict[str, Any]:
        """A call that only reads; a missing table reads as an empty one.

        Raises `ReadFailed` or `StoreUnavailable`.
        """
        with _READING:
            try:
                return await self._call(operation, body, READ_UNITS)
            except ErrorAnswer as error:
                if error.code == MISSING:
                    return {}
                raise

    async def pages(self, operation: str, body: Item) -> AsyncIterator[list[dict[str, Any]]]:
        """Pages of items to the end: a short or empty page need not be the last."""
        request = dict(body)
        while True:
            answer = await self.read(operation, request)
            yield answer.get("Items", [])
            if "LastEvaluatedKey" not in answer:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    async def scan(self, after: Position | None) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """The streams' items after a position, each with its stream's name.

        A stream's items come in order. A new stream may come anywhere, so a position resumes
        this scan and does not say what was written since.
        """
        if after == Position.NOW:
            return
        body: dict[str, Any] = {"TableName": self.table, "ConsistentRead": True}
        if after is not None:
            pk, (sk, *_) = items.place_parts(after)
            body["ExclusiveStartKey"] = items.key(pk, sk)
        async for page in self.pages("Scan", body):
            for item in page:
                if item["PK"]["S"].startswith(items.STREAM):
                    yield item["PK"]["S"].removeprefix(items.STREAM), item

    async def describe(self) -> dict[str, Any]:
        """The server's description of the table; empty if there is none.

        Raises `NoServer` if the credentials are refused, otherwise the errors of `read`.
        """
        with _DESCRIBING:
            try:
                answer = await self.client.call("DescribeTable", {"TableName": self.table})
            except ErrorAnswer as error:
                if error.code == MISSING:
                    return {}
                raise
        table: dict[str, Any] = answer["Table"]
        return table

    async def manage(self, operation: str, body: Item, *, unless: str) -> bool:
        """Make or remove the table; False where it is done already: the error code `unless`."""
        with _MANAGING:
            try:
                await self.client.call(operation, {"TableName": self.table, **body})
            except ErrorAnswer as error:
                if error.code != unless:
                    raise
                return False
        return True

    async def tables(self) -> AsyncIterator[str]:
        """The names of all tables. Raises `ReadFailed` or `StoreUnavailable`."""
        request: dict[str, Any] = {}
        while True:
            with _READING:
                answer = await self.client.call("ListTables", request)
            for name in answer.get("TableNames", ()):
                yield name
            if "LastEvaluatedTableName" not in answer:
                return
            request["ExclusiveStartTableName"] = answer["LastEvaluatedTableName"]

    async def _call(self, operation: str, body: Item, kind: str) -> dict[str, Any]:
        self.costs[ROUND_TRIPS] += 1
        try:
            answer = await self.client.call(operation, {**body, "ReturnConsumedCapacity": "TOTAL"})
        except Declined as error:
            if any(reason.get("Code") == CONDITION for reason in error.reasons):
                self.costs[WRITE_UNITS_BY_RULE] += _units_by_rule(body)
            raise
        _count_units(self.costs, kind, body, answer)
        return answer


def _region() -> str:
    return aws_session().region_name or os.environ.get("AWS_REGION") or _REGION


_MEANINGS = Meanings("DynamoDB", str)


def _refusal(error: ErrorAnswer) -> AppendRefused | OutcomeUnknown:
    if error.status >= _SERVER_FAULT:
        return _MEANINGS.unknown(error)
    if "Item size" in str(error):
        return EventTooLarge(str(error), reason=error.code)
    if error.code == "RequestEntityTooLarge" or "aggregate size" in str(error):
        return BatchTooLarge(str(error), reason=error.code)
    return AppendRefused(str(error), reason=error.code)


def _undescribed(error: ErrorAnswer) -> NoServer | ReadFailed:
    if error.code in _UNKNOWN_IDENTITY:
        return NoServer(f"dynamodb: {error}")
    if not error.code.endswith("Exception") and error.status < _SERVER_FAULT:
        return NoServer(f"dynamodb: no DynamoDB answers at the address ({error})")
    return _MEANINGS.failed(error)


_LOST: Table = {NotReached: _MEANINGS.not_connected, Unanswered: _MEANINGS.unknown}
_APPENDING = Mapped(lambda: {**_LOST, Rejected: _refusal})
_MANAGING = Mapped(lambda: {**_LOST, ErrorAnswer: _refusal})
_READING = Mapped(
    lambda: {
        NotReached: _MEANINGS.not_connected,
        TooLate: lambda error: ReadTimeout(str(error)),
        Unanswered: _MEANINGS.failed,
        ErrorAnswer: _MEANINGS.failed,
    }
)
_DESCRIBING = Mapped(
    lambda: {
        NotReached: _MEANINGS.not_connected,
        Unanswered: _MEANINGS.not_connected,
        ErrorAnswer: _undescribed,
    }
)
_LOOKING = Mapped(
    lambda: {
        ReadTimeout: lambda error: NotSent(f"read before the append: {error}"),
        ReadFailed: lambda error: StoreUnavailable(f"read before the append: {error}"),
    }
)


def _count_units(units: Counter[str], kind: str, body: Item, answer: Mapping[str, Any]) -> None:
    """Add the units of one call."""
    consumed = answer.get("ConsumedCapacity", ())
    tables = (consumed,) if isinstance(consumed, Mapping) else consumed
    reported = sum(table["CapacityUnits"] for table in tables)
    units[kind] += reported
    if kind == WRITE_UNITS:
        units[WRITE_UNITS_BY_RULE] += _units_by_rule(body) if "TransactItems" in body else reported


def _units_by_rule(body: Item) -> int:
    """Units of a transaction or of a single write."""
    if "TransactItems" not in body:
        return _units_of(body)
    writes = (write.get("Put") or write["Update"] for write in body["TransactItems"])
    return _TRANSACTION_FACTOR * sum(map(_units_of, writes))


def _units_of(write: Item) -> int:
    """A unit a started KB of the item; an update's item has its key and the values that are set."""
    item = write.get("Item") or {**write["Key"], **write.get("ExpressionAttributeValues", {})}
    return math.ceil(sum(map(_size_of, item.items())) / _UNIT_BYTES)


def _size_of(attribute: tuple[str, Item]) -> int:
    name, value = attribute
    return len(name) + _value_size(value)


def _value_size(value: Item) -> int:
    """The bytes of a value; lists and maps take 3 more, and 1 more for each of their members."""
    ((kind, content),) = value.items()
    match kind:
        case "N":
            return len(content) // 2 + 1
        case "L":
            return 3 + sum(1 + _value_size(each) for each in content)
        case "M":
            return 3 + sum(1 + _size_of(each) for each in content.items())
        case "B":
            return len(content)
    return len(content.encode())
