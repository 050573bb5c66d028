"""DynamoDB's options, the declared facts about it, and the durability of a server."""

from __future__ import annotations

import asyncio
import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit

import psutil
from pydantic import Field

from harness.domain.durability import BySetting, Durability
from harness.domain.store import Endpoint, Facts, StoreOptions


class DynamoOptions(StoreOptions):
    """Options of every variant."""

    driver: Literal["boto3", "http"] = Field(
        "boto3", description="boto3 in threads, or signed HTTP on the event loop"
    )
    connections: int = Field(
        32, ge=1, le=1000, description="most calls that one worker process has in flight"
    )
    deadline_s: float = Field(
        30.0, gt=0, le=3600, description="an append without an answer by then is unknown"
    )


LOCAL, SERVICE, UNKNOWN = "DynamoDB Local", "the service", "unknown"
_EMULATOR = "DynamoDB Local is an emulator: its speed is not the service's"

FACTS = Facts(
    multi_stream_appends="yes, within one transaction's 100 items (not offered by this adapter)",
    transactional_projections="within one transaction's 100 items; else through DynamoDB Streams",
    erasure="delete the items, or let them expire (TTL)",
    backup="point-in-time recovery and on-demand backups of the service; none of the emulator",
    licence="a service; DynamoDB Local under Amazon's own licence",
    source="AWS documentation: DynamoDB developer guide",
)

_STORAGE = BySetting(
    "storage",
    {
        "memory": Durability.MEMORY,
        # Local acknowledges a transaction before SQLite commits it: an immediate kill loses it.
        "file": Durability.BOUNDED_LOSS,
    },
)
_LAB = ("native", "docker")
_SERVICE_HOSTS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")
_TIMEOUT_S = 2.0
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Past any proxy, whose own header would hide the server's."""


async def server_of(endpoint: Endpoint) -> str:
    """`LOCAL`, `SERVICE` or `UNKNOWN`.

    A server that the lab started is DynamoDB Local. An address under a domain of Amazon's is the
    service. Any other server is DynamoDB Local if it answers as Jetty, the HTTP server in it;
    otherwise it may be the service behind a proxy or another emulator, and is unknown.
    """
    if endpoint.provider in _LAB:
        return LOCAL
    if (urlsplit(endpoint.address).hostname or "").endswith(_SERVICE_HOSTS):
        return SERVICE
    answered_by = await asyncio.to_thread(_http_server, endpoint.address)
    return LOCAL if answered_by.startswith("Jetty") else UNKNOWN


def _http_server(address: str) -> str:
    """The header `Server` of any answer; empty if there is none."""
    try:
        with _DIRECT.open(address, timeout=_TIMEOUT_S) as answer:
            return str(answer.headers.get("Server", ""))
    except urllib.error.HTTPError as error:
        with error:
            return str(error.headers.get("Server", ""))
    except (OSError, ValueError, http.client.HTTPException):
        return ""


def storage_of(endpoint: Endpoint) -> str:
    """`memory` or `file` for DynamoDB Local whose command line can be read, else "unknown"."""
    try:
        words = psutil.Process(endpoint.pid).cmdline() if endpoint.pid else []
    except psutil.Error:
        words = []
    if "-inMemory" in words:
        return "memory"
    return "file" if "-dbPath" in words else UNKNOWN


def durability_of(settings: Mapping[str, str]) -> Durability:
    """The class of the storage; the service and other emulators report none."""
    return _STORAGE.class_of(settings)


def emulator_of(settings: Mapping[str, str]) -> str:
    """The sentence about DynamoDB Local; empty for any other server."""
    return _EMULATOR if settings.get("server") == LOCAL else ""
