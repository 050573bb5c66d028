"""EventStoreDB's options, the declared facts about it, and its durability.

The facts are for the decision page; none of them is measured here. Durability follows from the
server's own options, which are read back over HTTP.
"""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import urllib.request
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field

from harness.domain.durability import BySetting, Durability, by_settings
from harness.domain.proxies import proxy_to
from harness.domain.store import Endpoint, Facts, Guarantees, StoreOptions


class EventStoreDBOptions(StoreOptions):
    """Options of every variant."""

    categories: Literal["filter", "links"] = Field(
        "filter", description="a category by a filter over all, or by the projection's links"
    )
    subscription: Literal["catch-up", "persistent"] = Field(
        "catch-up", description="the subscriber keeps its place, or the server keeps it"
    )
    deadline_s: float = Field(
        30.0, gt=0, le=3600, description="an append without an answer by then is unknown"
    )


EVENT_LIMIT_BYTES = 1024 * 1024
"""The default `MaxAppendSize` of EventStoreDB, declared where the server's own is not known."""
_MESSAGE_LIMIT_BYTES = 16_700_000
"""The largest gRPC message that servers were seen to take; 17 MB are refused."""

FACTS = Facts(
    multi_stream_appends="no (KurrentDB 25.1 and later: yes, by another call)",
    transactional_projections="no; the server's own projections emit events and links",
    erasure="delete the stream, then scavenge; a single event by crypto-shredding",
    backup="copying its files in order, or a disk snapshot; a follower node",
    licence="Event Store License v2 from 24.10 on; BSD-3-Clause before",
    source="EventStoreDB documentation 24.10",
)

MULTI_FACT = "yes: records of any streams, on condition of the state of any"
MULTI_NOTE = (
    "KurrentDB 26.1 and later. A tagged event is written once more for its type and for each of its"
    " tags. Types of other characters than letters, digits and _ . $ : - are written in hex"
)

UNKNOWN = "unknown"
_TIMEOUT_S = 2.0
_LIMITS = ("max_append_size", "max_append_event_size")
_OPTIONS = {
    "MemDb": "mem_db",
    "UnsafeDisableFlushToDisk": "unsafe_disable_flush_to_disk",
    "MaxAppendSize": _LIMITS[0],
    "MaxAppendEventSize": _LIMITS[1],
}
_RULES = (
    BySetting("mem_db", {"false": Durability.POWER_LOSS, "true": Durability.MEMORY}),
    BySetting(
        "unsafe_disable_flush_to_disk",
        {"false": Durability.POWER_LOSS, "true": Durability.PROCESS_CRASH},
    ),
)


def durability_of(settings: Mapping[str, str]) -> Durability:
    """The class that both options decide; unknown if the server does not report them.

    A server reports an option's value as its operator wrote it: `true`, `True`, `TRUE`.
    """
    return by_settings(_RULES, settings)


def limited(declared: Guarantees, settings: Mapping[str, str]) -> Guarantees:
    """With the smallest of the limits that the server reports; EventStoreDB has the first alone."""
    limits = [int(settings[name]) for name in _LIMITS if settings.get(name, "").isdecimal()]
    if not limits:
        return declared
    return replace(declared, event_limit_bytes=min(_MESSAGE_LIMIT_BYTES, *limits))


async def has_projections(endpoint: Endpoint) -> bool | None:
    """Whether the server's projections are on; `None` if it does not say."""
    info = await asyncio.to_thread(_get, f"{_base(endpoint)}/info", endpoint)
    features = info.get("features") if isinstance(info, dict) else None
    projections = features.get("projections") if isinstance(features, dict) else None
    return projections if isinstance(projections, bool) else None


async def read_back(endpoint: Endpoint) -> dict[str, str]:
    """Version and options from the server's HTTP interface; "unknown" where one is missing.

    A secured server refuses to list its options without the credentials of an operator.
    """
    return await asyncio.to_thread(_read_back, endpoint)


def _read_back(endpoint: Endpoint) -> dict[str, str]:
    info = _get(f"{_base(endpoint)}/info", endpoint)
    known = info if isinstance(info, dict) else {}
    # The successor reports both, and the first is its own.
    version = known.get("dbVersion") or known.get("esVersion") or endpoint.version or UNKNOWN
    options = _get(f"{_base(endpoint)}/info/options", endpoint)
    listed = (
        [each for each in options if isinstance(each, dict)] if isinstance(options, list) else []
    )
    values = {str(each.get("name")): str(each.get("value")) for each in listed}
    settings = {ours: values.get(theirs, UNKNOWN) for theirs, ours in _OPTIONS.items()}
    return {"version": str(version), **settings}


def _base(endpoint: Endpoint) -> str:
    parts = urlsplit(endpoint.address)
    scheme = "http" if "tls=false" in parts.query.lower() else "https"
    return f"{scheme}://{parts.netloc.split(',')[0]}"


def _get(url: str, endpoint: Endpoint) -> Any:
    request = urllib.request.Request(url, headers=_authorised(endpoint))  # noqa: S310 - ours
    proxy = proxy_to(endpoint.address)
    proxies = {urlsplit(url).scheme: proxy.url} if proxy else {}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies))
    try:
        with opener.open(request, timeout=_TIMEOUT_S) as response:
            return json.load(response)
    except (OSError, ValueError, http.client.HTTPException):
        return {}


def _authorised(endpoint: Endpoint) -> dict[str, str]:
    if "username" not in endpoint.credentials:
        return {}
    secret = f"{endpoint.credentials['username']}:{endpoint.credentials['password']}"
    return {"Authorization": f"Basic {base64.b64encode(secret.encode()).decode()}"}
