"""What an acknowledged append survives, from the server's options as read back over HTTP."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from harness.store import Durability, Endpoint

NOT_TOLD = "not told"
_LIMIT_S = 2.0
_OPTIONS = {"MemDb": "mem_db", "UnsafeDisableFlushToDisk": "unsafe_disable_flush_to_disk"}


def durability_of(settings: Mapping[str, str]) -> Durability:
    """Each append is flushed, unless the server was told otherwise. Untold counts as not kept."""
    told = [settings.get(name, NOT_TOLD) for name in _OPTIONS.values()]
    if NOT_TOLD in told or settings["mem_db"] == "true":
        return Durability.MEMORY
    unflushed = settings["unsafe_disable_flush_to_disk"] == "true"
    return Durability.PROCESS_CRASH if unflushed else Durability.POWER_LOSS


async def read_back(endpoint: Endpoint) -> dict[str, str]:
    """Version and options from the server's HTTP interface; "not told" where it says nothing."""
    return await asyncio.to_thread(_read_back, endpoint)


def _read_back(endpoint: Endpoint) -> dict[str, str]:
    parts = urlsplit(endpoint.address)
    scheme = "http" if "tls=false" in parts.query.lower() else "https"
    base = f"{scheme}://{parts.netloc.split(',')[0]}"
    version = _get(f"{base}/info", endpoint).get("esVersion")
    options = _get(f"{base}/info/options", endpoint)
    listed = options if isinstance(options, list) else []
    found = {str(each.get("name")): str(each.get("value")).lower() for each in listed}
    settings = {ours: found.get(theirs, NOT_TOLD) for theirs, ours in _OPTIONS.items()}
    return {"version": str(version or endpoint.version or NOT_TOLD), **settings}


def _get(url: str, endpoint: Endpoint) -> Any:
    request = urllib.request.Request(url, headers=_authorised(endpoint))  # noqa: S310 - ours
    try:
        with urllib.request.urlopen(request, timeout=_LIMIT_S) as answer:  # noqa: S310
            return json.load(answer)
    except (OSError, ValueError, http.client.HTTPException):
        return {}


def _authorised(endpoint: Endpoint) -> dict[str, str]:
    if "username" not in endpoint.credentials:
        return {}
    secret = f"{endpoint.credentials['username']}:{endpoint.credentials['password']}"
    return {"Authorization": f"Basic {base64.b64encode(secret.encode()).decode()}"}
