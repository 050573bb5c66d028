"""The drivers, loaded on first use, and what their errors mean whichever is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from harness.stores.drivers import lazy

if TYPE_CHECKING:
    import aiohttp as aiohttp  # noqa: PLC0414 - handed on
    import boto3 as boto3  # noqa: PLC0414
    import botocore as botocore  # noqa: PLC0414
    import orjson as orjson  # noqa: PLC0414
else:
    aiohttp = lazy("aiohttp", extra="dynamodb")
    boto3 = lazy("boto3", extra="dynamodb")
    botocore = lazy("botocore", extra="dynamodb")
    orjson = lazy("orjson", extra="dynamodb")

Item = Mapping[str, Any]
"""DynamoDB's own JSON: `{"SK": {"N": "0"}, …}`; binary values are `bytes` on their way in."""


class Client(Protocol):
    """One way to call DynamoDB. What it raises is below; nothing is ever tried twice."""

    async def call(self, operation: str, body: Item) -> dict[str, Any]:
        """One call and its answer."""
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...


class NotReached(Exception):
    """There was no connection, so nothing was sent."""


class Unanswered(Exception):
    """The call was sent, and its answer never came."""


class TooLate(Unanswered):
    """… because the deadline passed."""


class Declined(Exception):
    """The server's own no. `code` is its name for it, `status` HTTP's.

    `reasons` are those of a cancelled transaction, one an item in their order, or the only
    one of a single conditional write; each may hold the `Item` that stood in the way.
    """

    def __init__(
        self, code: str, message: str, *, status: int, reasons: Sequence[Item] = ()
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.status, self.reasons = code, status, reasons


def declined(answer: Mapping[str, Any], code: str, message: str, status: int) -> Declined:
    """The error in an answer of either driver."""
    reasons = answer.get("CancellationReasons") or ()
    if code == "ConditionalCheckFailedException":
        reasons = [{"Code": "ConditionalCheckFailed", "Item": answer.get("Item")}]
    return Declined(code, message, status=status, reasons=reasons)
