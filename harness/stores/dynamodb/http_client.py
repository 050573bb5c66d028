"""DynamoDB's JSON over aiohttp, signed by botocore's signer: no model is walked for a call."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from io import BytesIO
from typing import Any

from harness.stores.dynamodb.driver import (
    Item,
    NotReached,
    TooLate,
    Unanswered,
    aiohttp,
    declined,
    orjson,
)
from harness.stores.dynamodb.options import DynamoOptions
from harness.stores.dynamodb.signing import Signer

_CONNECT_WITHIN_S = 5.0
_HTTP_OK = 200
_LARGE_BYTES = 1 << 20
"""aiohttp wants more than this in pieces."""
_TOO_LARGE = 413


class HttpClient:
    """Calls on the event loop, at most `options.connections` of them at once."""

    def __init__(
        self, address: str, credentials: Mapping[str, str], region: str, options: DynamoOptions
    ) -> None:
        self._url = f"{address}/"
        self._signer = Signer(self._url, credentials, region)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=options.connections),
            timeout=aiohttp.ClientTimeout(
                total=options.deadline_s,
                sock_connect=min(options.deadline_s, _CONNECT_WITHIN_S),
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )

    async def call(self, operation: str, body: Item) -> dict[str, Any]:
        """One POST; the deadline counts from here, waiting for a connection included."""
        payload = orjson.dumps(body, default=_base64)
        headers = self._signer.headers(operation, payload)
        data = BytesIO(payload) if len(payload) > _LARGE_BYTES else payload
        try:
            async with self._session.post(self._url, data=data, headers=headers) as response:
                status, text = response.status, await response.read()
        except aiohttp.ClientConnectorError as error:
            raise NotReached(str(error)) from None
        except aiohttp.ConnectionTimeoutError as error:
            raise NotReached(str(error)) from None
        except TimeoutError:
            raise TooLate("DynamoDB did not answer before the deadline") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Unanswered(f"{type(error).__name__}: {error}") from None
        return _answer(status, text)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._session.close()


def _answer(status: int, text: bytes) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = orjson.loads(text)
    except orjson.JSONDecodeError:
        code = "RequestEntityTooLarge" if status == _TOO_LARGE else f"HTTP {status}"
        raise declined({}, code, "the answer is no JSON", status) from None
    if status == _HTTP_OK:
        return answer
    code = str(answer.get("__type", f"HTTP {status}")).rpartition("#")[2]
    message = answer.get("message") or answer.get("Message") or ""
    raise declined(answer, code, message, status)


def _base64(value: object) -> str:
    """How DynamoDB's JSON spells bytes."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    raise TypeError(f"not a value of DynamoDB: {type(value).__name__}")
