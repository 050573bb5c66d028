"""Calls to one namespace, with the drivers' errors in the lab's words and their cost counted."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from harness.costs import BILLED, ROUND_TRIPS
from harness.errors import (
    AppendRefused,
    BatchTooLarge,
    EventTooLarge,
    NoServer,
    NotSent,
    OutcomeUnknown,
    ReadFailed,
    ReadTimeout,
    StoreError,
    StoreUnavailable,
)
from harness.store import Endpoint
from harness.stores.dynamodb import units
from harness.stores.dynamodb.boto_client import BotoClient
from harness.stores.dynamodb.driver import (
    Client,
    Declined,
    Item,
    NotReached,
    TooLate,
    Unanswered,
    boto3,
)
from harness.stores.dynamodb.http_client import HttpClient
from harness.stores.dynamodb.options import DynamoOptions

CONDITION = "ConditionalCheckFailed"
MISSING = "ResourceNotFoundException"
_SERVER_FAULT = 500
_CLASH = "TransactionConflict"
_CLASH_CODES = frozenset({"TransactionConflictException", "TransactionInProgressException"})
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
_REGION = "us-east-1"
"""Where nobody says which: DynamoDB Local takes any."""


class Session:
    """One table under the namespace's name, and the calls to it."""

    def __init__(self, endpoint: Endpoint, options: DynamoOptions) -> None:
        self.endpoint, self.options = endpoint, options
        self.table = endpoint.namespace
        self.costs: Counter[str] = Counter(dict.fromkeys((*BILLED, ROUND_TRIPS), 0))
        """Round trips, and consumed capacity units of reads and of writes, so far."""
        self.client: Client = (HttpClient if options.driver == "http" else BotoClient)(
            endpoint.address, endpoint.credentials, _region(), options
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self.client.aclose()

    async def write(self, operation: str, body: Item) -> dict[str, Any]:
        """A call that writes. A condition that fails is the caller's: it leaves as `Declined`.

        Raises `NotWritten` or `OutcomeUnknown` otherwise. A clash with another transaction,
        which the service reports and which is over at once, is tried again: it wrote nothing.
        """
        for tried in range(_CLASH_TRIES):
            try:
                return await self._call(operation, body, units.WRITE)
            except (NotReached, Unanswered) as error:
                raise _append_error(error) from error
            except Declined as error:
                if not _clashed(error):
                    if _conditional(error):
                        raise
                    raise _refusal(error) from error
            await asyncio.sleep(_CLASH_PAUSE_S * 2**tried)
        raise AppendRefused("other transactions were always in the way", reason=_CLASH)

    async def look(self, operation: str, body: Item) -> dict[str, Any]:
        """A read on behalf of an append that was not sent yet: its errors are `NotWritten`."""
        try:
            return await self.read(operation, body)
        except ReadTimeout as error:
            raise NotSent(f"looking before the append: {error}") from error
        except ReadFailed as error:
            raise StoreUnavailable(f"looking before the append: {error}") from error

    async def read(self, operation: str, body: Item) -> dict[str, Any]:
        """A call that only reads; a table that is missing is an empty one.

        Raises `ReadFailed` or `StoreUnavailable`.
        """
        try:
            return await self._call(operation, body, units.READ)
        except Declined as error:
            if error.code == MISSING:
                return {}
            raise ReadFailed(f"DynamoDB: {error}") from error
        except NotReached as error:
            raise StoreUnavailable(f"no connection to DynamoDB: {error}") from error
        except TooLate as error:
            raise ReadTimeout(str(error)) from error
        except Unanswered as error:
            raise ReadFailed(f"DynamoDB: {error}") from error

    async def pages(self, operation: str, body: Item) -> AsyncIterator[list[dict[str, Any]]]:
        """Pages of items to the end: a page may be short, or empty, and not the last."""
        asked = dict(body)
        while True:
            answer = await self.read(operation, asked)
            yield answer.get("Items", [])
            if "LastEvaluatedKey" not in answer:
                return
            asked["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    async def describe(self) -> dict[str, Any]:
        """The table as the server describes it; empty where there is none.

        Raises `NoServer` where the credentials are refused, else what `read` raises.
        """
        try:
            answer = await self.client.call("DescribeTable", {"TableName": self.table})
        except Declined as error:
            if error.code == MISSING:
                return {}
            if error.code in _UNKNOWN_IDENTITY:
                raise NoServer(f"dynamodb: {error}") from error
            if not error.code.endswith("Exception") and error.status < _SERVER_FAULT:
                raise NoServer(f"dynamodb: no DynamoDB answers there ({error})") from error
            raise ReadFailed(f"DynamoDB: {error}") from error
        except (NotReached, Unanswered) as error:
            raise StoreUnavailable(f"no connection to DynamoDB: {error}") from error
        table: dict[str, Any] = answer["Table"]
        return table

    async def manage(self, operation: str, body: Item, *, unless: str) -> None:
        """Make or remove the table, `unless` the server says that this is so already."""
        try:
            await self.client.call(operation, {"TableName": self.table, **body})
        except Declined as error:
            if error.code != unless:
                raise _refusal(error) from error
        except (NotReached, Unanswered) as error:
            raise _append_error(error) from error

    async def _call(self, operation: str, body: Item, kind: str) -> dict[str, Any]:
        self.costs[ROUND_TRIPS] += 1
        answer = await self.client.call(operation, {**body, "ReturnConsumedCapacity": "TOTAL"})
        units.count(self.costs, kind, body, answer)
        return answer


def _region() -> str:
    return boto3.session.Session().region_name or os.environ.get("AWS_REGION") or _REGION


def _append_error(error: NotReached | Unanswered) -> StoreError:
    """The answer to "was it written?" where the server gave none."""
    if isinstance(error, NotReached):
        return StoreUnavailable(f"no connection to DynamoDB: {error}")
    return OutcomeUnknown(f"DynamoDB: {error}")


def _refusal(error: Declined) -> StoreError:
    if error.status >= _SERVER_FAULT:
        return OutcomeUnknown(f"DynamoDB: {error}")
    if "Item size" in str(error):
        return EventTooLarge(str(error), reason=error.code)
    if error.code == "RequestEntityTooLarge" or "aggregate size" in str(error):
        return BatchTooLarge(str(error), reason=error.code)
    return AppendRefused(str(error), reason=error.code)


def _codes(error: Declined) -> set[str]:
    return {reason.get("Code", "None") for reason in error.reasons} - {"None"}


def _clashed(error: Declined) -> bool:
    """Whether only other transactions were in the way, none of the conditions."""
    return error.code in _CLASH_CODES or _codes(error) == {_CLASH}


def _conditional(error: Declined) -> bool:
    return CONDITION in _codes(error) or error.code == "IdempotentParameterMismatchException"
