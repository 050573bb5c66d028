"""Two ways to call DynamoDB: boto3 in threads, and JSON on the event loop.

boto3 validates, signs and parses every call by its models. The other client only signs.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache, partial
from typing import Any
from urllib.parse import quote, urlsplit

from harness.domain.errors import NoServer
from harness.domain.proxies import proxy_to
from harness.stores._shared.driver_errors import Mapped, Table
from harness.stores._shared.time_limit import TimeLimit
from harness.stores.dynamodb.declaration import DynamoOptions
from harness.stores.dynamodb.driver import (
    ErrorAnswer,
    Item,
    TooLate,
    boto3,
    botocore,
    error_answer,
    not_reached,
    orjson,
    unanswered,
)
from harness.stores.dynamodb.posting import Poster

_CONNECT_WITHIN_S = 5.0
_METHODS = {
    "BatchWriteItem": "batch_write_item",
    "CreateTable": "create_table",
    "DeleteItem": "delete_item",
    "DeleteTable": "delete_table",
    "DescribeTable": "describe_table",
    "GetItem": "get_item",
    "ListTables": "list_tables",
    "PutItem": "put_item",
    "Query": "query",
    "Scan": "scan",
    "TransactWriteItems": "transact_write_items",
    "UpdateItem": "update_item",
}


@cache
def aws_session() -> Any:
    """The session of this process: each one would read boto3's models anew, in 70 ms."""
    return boto3.session.Session()


class BotoClient:
    """Blocking calls in threads, at most `options.connections` at once."""

    def __init__(
        self, address: str, credentials: Mapping[str, str], region: str, options: DynamoOptions
    ) -> None:
        proxy = proxy_to(address)
        config = botocore.config.Config(
            # A conditional write that the SDK retries can fail because its first try succeeded.
            retries={"total_max_attempts": 1, "mode": "standard"},
            parameter_validation=False,
            max_pool_connections=options.connections,
            connect_timeout=min(options.deadline_s, _CONNECT_WITHIN_S),
            read_timeout=options.deadline_s,
            # Without this, boto3 would take the environment's proxy to loopback, too.
            proxies={urlsplit(address).scheme: proxy.url} if proxy else {},
        )
        self._client = aws_session().client(
            "dynamodb",
            endpoint_url=address,
            region_name=region,
            config=config,
            **_arguments(credentials),
        )
        self._threads = ThreadPoolExecutor(options.connections, thread_name_prefix="boto3")
        self._deadline_s = options.deadline_s

    async def call(self, operation: str, body: Item) -> dict[str, Any]:
        """In a thread. The deadline includes the wait for one."""
        method = getattr(self._client, _METHODS[operation])
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._deadline_s):
                return await loop.run_in_executor(self._threads, partial(_called, method, body))
        except TimeoutError:
            raise TooLate("DynamoDB did not answer before the deadline") from None

    async def aclose(self) -> None:
        """Release the threads; a thread that waits for an answer ends when it arrives."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._client.close()


def _called(method: Any, body: Item) -> dict[str, Any]:
    with _CALLING_BOTO:
        answer: dict[str, Any] = method(**body)
    return answer


@cache
def _boto_meanings() -> Table:
    exceptions = botocore.exceptions
    return {
        exceptions.ClientError: _error_answer,
        exceptions.EndpointConnectionError: not_reached,
        exceptions.ConnectTimeoutError: not_reached,
        exceptions.ReadTimeoutError: lambda error: TooLate(str(error)),
        exceptions.NoCredentialsError: _no_credentials,
        exceptions.PartialCredentialsError: _no_credentials,
        exceptions.BotoCoreError: unanswered,
        OSError: unanswered,
    }


_CALLING_BOTO = Mapped(_boto_meanings)


def _error_answer(error: Any) -> ErrorAnswer:
    described, status = error.response["Error"], error.response["ResponseMetadata"]
    return error_answer(
        error.response, described["Code"], described.get("Message", ""), status["HTTPStatusCode"]
    )


def _no_credentials(error: Exception) -> NoServer:
    return NoServer(f"dynamodb: {error}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")


def _arguments(credentials: Mapping[str, str]) -> dict[str, str]:
    """boto3's arguments; without credentials boto3 uses those of the AWS environment."""
    if not credentials:
        return {}
    return {
        "aws_access_key_id": credentials["access_key"],
        "aws_secret_access_key": credentials["secret_key"],
    }


_HTTP_OK = 200
_TOO_LARGE = 413


class HttpClient:
    """Calls on the event loop, at most `options.connections` at once."""

    def __init__(
        self, address: str, credentials: Mapping[str, str], region: str, options: DynamoOptions
    ) -> None:
        url = f"{address}/"
        self._signer = Signer(url, credentials, region)
        self._poster = Poster(
            url,
            proxy=proxy_to(address),
            connections=options.connections,
            connect_within_s=min(options.deadline_s, _CONNECT_WITHIN_S),
        )
        self._limit = TimeLimit(options.deadline_s)

    async def call(self, operation: str, body: Item) -> dict[str, Any]:
        """One POST. The deadline includes the wait for a connection."""
        payload = orjson.dumps(body, default=_base64)
        headers = self._signer.headers(operation, payload)
        task = self._limit.begin()
        try:
            status, text = await self._poster.post(headers, payload)
        except BaseException as raised:
            error = self._limit.failed(task, raised)
            if isinstance(error, TimeoutError):
                raise TooLate("DynamoDB did not answer before the deadline") from None
            raise error from raised.__cause__
        self._limit.end(task)
        return _answer(status, text)

    async def aclose(self) -> None:
        """Close every connection; calls under way end as `Unanswered`."""
        self._limit.close()
        self._poster.close()


def _answer(status: int, text: bytes) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = orjson.loads(text)
    except orjson.JSONDecodeError:
        code = "RequestEntityTooLarge" if status == _TOO_LARGE else f"HTTP {status}"
        raise error_answer({}, code, "the answer is no JSON", status) from None
    if status == _HTTP_OK:
        return answer
    code = str(answer.get("__type", f"HTTP {status}")).rpartition("#")[2]
    message = answer.get("message") or answer.get("Message") or ""
    raise error_answer(answer, code, message, status)


def _base64(value: object) -> str:
    """Bytes in DynamoDB's JSON."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    raise TypeError(f"not a value of DynamoDB: {type(value).__name__}")


_SERVICE = "dynamodb"
_ALGORITHM = "AWS4-HMAC-SHA256"
_PORTS = {"http": 80, "https": 443}


class Signer:
    """Signs calls to one URL with SigV4: each is a POST to the same path with the same headers.

    What is the same for all of them is made once; the derived key changes once a day. botocore's
    signer takes any request, and ten times as long. Raises `NoServer` without credentials.
    Source: docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    """

    def __init__(self, url: str, credentials: Mapping[str, str], region: str) -> None:
        self._path = quote(urlsplit(url).path, safe="/~")
        self._host = _host_of(url)
        self._source = _source(credentials)
        self._region = region

    def headers(self, operation: str, payload: bytes) -> dict[str, str]:
        """The headers of a request, signature included."""
        # Temporary credentials renew themselves, so each call takes the current ones.
        frozen = self._source.get_frozen_credentials()
        moment = _moment(int(time.time()))
        headers = {
            "content-type": "application/x-amz-json-1.0",
            "host": self._host,
            "x-amz-date": moment,
            **({"x-amz-security-token": frozen.token} if frozen.token else {}),
            "x-amz-target": f"DynamoDB_20120810.{operation}",
        }
        lines = "\n".join([f"{name}:{value}" for name, value in headers.items()])
        names, digest = ";".join(headers), hashlib.sha256(payload).hexdigest()
        request = f"POST\n{self._path}\n\n{lines}\n\n{names}\n{digest}"
        scope = f"{moment[:8]}/{self._region}/{_SERVICE}/aws4_request"
        digest = hashlib.sha256(request.encode()).hexdigest()
        key = _derived(frozen.secret_key, moment[:8], self._region)
        text = f"{_ALGORITHM}\n{moment}\n{scope}\n{digest}"
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        headers["authorization"] = (
            f"{_ALGORITHM} Credential={frozen.access_key}/{scope}, "
            f"SignedHeaders={names}, Signature={signature}"
        )
        return headers


def _host_of(url: str) -> str:
    """As the Host header has it: lower case, without the scheme's own port."""
    parts = urlsplit(url)
    name = parts.hostname or ""
    host = f"[{name}]" if ":" in name else name
    return host if parts.port in (None, _PORTS[parts.scheme]) else f"{host}:{parts.port}"


@lru_cache(maxsize=1)
def _moment(second: int) -> str:
    """A second since 1970 as SigV4 writes it, in UTC."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))


def _source(credentials: Mapping[str, str]) -> Any:
    if credentials:
        return botocore.credentials.Credentials(
            credentials["access_key"], credentials["secret_key"]
        )
    ambient = aws_session().get_credentials()
    if ambient is None:
        raise NoServer(
            "dynamodb: no AWS credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
            "(DynamoDB Local takes any)"
        )
    return ambient


@lru_cache(maxsize=4)
def _derived(secret: str, date: str, region: str) -> bytes:
    key = b"AWS4" + secret.encode()
    for part in (date, region, _SERVICE, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
