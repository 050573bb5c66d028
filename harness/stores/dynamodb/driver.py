"""The drivers, loaded on first use, and the common errors of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from harness.stores._shared.driver_errors import described
from harness.stores._shared.drivers import lazy

if TYPE_CHECKING:
    import boto3 as boto3  # noqa: PLC0414 - handed on
    import botocore as botocore  # noqa: PLC0414
    import orjson as orjson  # noqa: PLC0414
else:
    boto3 = lazy("boto3", extra="dynamodb")
    botocore = lazy("botocore", extra="dynamodb")
    orjson = lazy("orjson", extra="dynamodb")

Item = Mapping[str, Any]
"""DynamoDB's own JSON: `{"SK": {"N": "0"}, …}`; binary values are `bytes` in requests."""


CONDITION = "ConditionalCheckFailed"
CLASH = "TransactionConflict"
MISMATCH = "IdempotentParameterMismatchException"
IN_PROGRESS = "TransactionInProgressException"
_CLASH_CODE = "TransactionConflictException"


class Client(Protocol):
    """One way to call DynamoDB. It raises the errors below, and never retries."""

    async def call(self, operation: str, body: Item) -> dict[str, Any]:
        """The answer to one call."""
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...


class NotReached(Exception):
    """There was no connection, so nothing was sent."""


class Unanswered(Exception):
    """The call was sent, and its answer never came."""


class TooLate(Unanswered):
    """The call was sent, and its deadline passed."""


class ErrorAnswer(Exception):
    """The server answered with an error. `code` is its name, `status` the HTTP status.

    `reasons` are those of a cancelled transaction, one per item in order, or the only one of
    a single conditional write; each may contain the `Item` that failed the condition.
    """

    def __init__(
        self, code: str, message: str, *, status: int, reasons: Sequence[Item] = ()
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.status, self.reasons = code, status, reasons


class Declined(ErrorAnswer):
    """A condition failed, or the token names another transaction."""


class Clashed(ErrorAnswer):
    """Only other transactions interfered, and no condition failed: nothing was written."""


class InProgress(Clashed):
    """A transaction with the same token has not ended: whether it writes is not known yet."""


class Rejected(ErrorAnswer):
    """The server refused for any other reason."""


def error_answer(answer: Mapping[str, Any], code: str, message: str, status: int) -> ErrorAnswer:
    """The error in an answer, from either driver."""
    reasons = answer.get("CancellationReasons") or ()
    if code == "ConditionalCheckFailedException":
        reasons = [{"Code": CONDITION, "Item": answer.get("Item")}]
    codes = {reason.get("Code", "None") for reason in reasons} - {"None"}
    if code == IN_PROGRESS:
        return InProgress(code, message, status=status, reasons=reasons)
    if code == _CLASH_CODE or codes == {CLASH}:
        return Clashed(code, message, status=status, reasons=reasons)
    if CONDITION in codes or code == MISMATCH:
        return Declined(code, message, status=status, reasons=reasons)
    return Rejected(code, message, status=status, reasons=reasons)


def not_reached(error: Exception) -> NotReached:
    """The driver could not connect."""
    return NotReached(str(error))


def unanswered(error: Exception) -> Unanswered:
    """The connection broke, or the response is no valid answer."""
    return Unanswered(described(error))
