"""boto3 in a pool of threads: every call is validated, signed and parsed by its models."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from harness.errors import NoServer
from harness.stores.dynamodb.driver import (
    Item,
    NotReached,
    TooLate,
    Unanswered,
    boto3,
    botocore,
    declined,
)
from harness.stores.dynamodb.options import DynamoOptions

_CONNECT_WITHIN_S = 5.0
_METHODS = {
    "BatchWriteItem": "batch_write_item",
    "CreateTable": "create_table",
    "DeleteItem": "delete_item",
    "DeleteTable": "delete_table",
    "DescribeTable": "describe_table",
    "GetItem": "get_item",
    "PutItem": "put_item",
    "Query": "query",
    "Scan": "scan",
    "TransactWriteItems": "transact_write_items",
    "UpdateItem": "update_item",
}


class BotoClient:
    """Blocking calls, at most `options.connections` of them at once."""

    def __init__(
        self, address: str, credentials: Mapping[str, str], region: str, options: DynamoOptions
    ) -> None:
        session = boto3.session.Session()
        config = botocore.config.Config(
            # A conditional write that the SDK sends again is refused by its own first copy.
            retries={"total_max_attempts": 1, "mode": "standard"},
            parameter_validation=False,
            max_pool_connections=options.connections,
            connect_timeout=min(options.deadline_s, _CONNECT_WITHIN_S),
            read_timeout=options.deadline_s,
        )
        self._client = session.client(
            "dynamodb",
            endpoint_url=address,
            region_name=region,
            config=config,
            **_named(credentials),
        )
        self._threads = ThreadPoolExecutor(options.connections, thread_name_prefix="boto3")
        self._deadline_s = options.deadline_s

    async def call(self, operation: str, body: Item) -> dict[str, Any]:
        """In a thread; the deadline counts from here, waiting for a thread included."""
        method = getattr(self._client, _METHODS[operation])
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._deadline_s):
                return await loop.run_in_executor(self._threads, partial(_called, method, body))
        except TimeoutError:
            raise TooLate("DynamoDB did not answer before the deadline") from None

    async def aclose(self) -> None:
        """Let go of the threads; one that still waits for an answer ends with it."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._client.close()


def _called(method: Any, body: Item) -> dict[str, Any]:
    exceptions = botocore.exceptions
    try:
        answer: dict[str, Any] = method(**body)
    except exceptions.ClientError as error:
        told, status = error.response["Error"], error.response["ResponseMetadata"]
        raise declined(
            error.response, told["Code"], told.get("Message", ""), status["HTTPStatusCode"]
        ) from None
    except (exceptions.EndpointConnectionError, exceptions.ConnectTimeoutError) as error:
        raise NotReached(str(error)) from None
    except exceptions.ReadTimeoutError as error:
        raise TooLate(str(error)) from None
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
        raise NoServer(
            f"dynamodb: {error}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ) from None
    except (exceptions.BotoCoreError, OSError) as error:
        raise Unanswered(f"{type(error).__name__}: {error}") from None
    return answer


def _named(credentials: Mapping[str, str]) -> dict[str, str]:
    """As boto3 calls them; none at all leaves it to the ordinary AWS environment."""
    if not credentials:
        return {}
    return {
        "aws_access_key_id": credentials["access_key"],
        "aws_secret_access_key": credentials["secret_key"],
    }
