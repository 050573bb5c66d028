"""Options of every DynamoDB variant."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.store import StoreOptions


class DynamoOptions(StoreOptions):
    """What may be chosen beside the design."""

    driver: Literal["boto3", "http"] = Field(
        "boto3", description="boto3 in threads, or aiohttp with botocore's signer alone"
    )
    connections: int = Field(
        32, ge=1, le=1000, description="most calls that one worker process has in flight"
    )
    deadline_s: float = Field(
        30.0, gt=0, le=3600, description="an append without an answer by then is unknown"
    )
