"""UmaDB's options, the declared facts about it, and what decides its durability."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import psutil
from pydantic import Field

from harness.domain.durability import BySetting, Durability
from harness.domain.store import Endpoint, Facts, StoreOptions


class UmaOptions(StoreOptions):
    """Options of every variant."""

    deadline_s: float = Field(
        30.0, gt=0, le=3600, description="an append without an answer by then is unknown"
    )


EVENT_LIMIT_BYTES = 4 * 1024 * 1024 - 64 * 1024
"""Data of one event. The server takes 4 MiB a message: all events of an append, with their names
and metadata, for which there is room here."""

FACTS = Facts(
    multi_stream_appends="yes: an append's events and its condition may have any tags",
    transactional_projections="a source's position is written with an append, and only grows",
    erasure="none: nothing is ever removed; crypto-shredding",
    backup="copying its file while it is stopped, or a disk snapshot",
    licence="MIT or Apache-2.0",
    source="UmaDB's README and protocol, 0.7.8",
)

UNKNOWN = "unknown"
_EVERY_COMMIT = "every commit"
_SYNC = BySetting("sync", {_EVERY_COMMIT: Durability.POWER_LOSS})
_WAYS_OF_THE_LAB = ("native", "docker")
_PATH_FLAG = "--db-path="
_FILE = "uma.db"


def durability_of(settings: Mapping[str, str]) -> Durability:
    """The class by the server's version, which decides when it syncs."""
    return _SYNC.class_of(settings)


def settings_of(endpoint: Endpoint) -> dict[str, str]:
    """What is known of a server: its protocol tells nothing of it, not even a version.

    The versions that the lab starts sync their file before each answer, and have no option that
    turns this off. Of any other server the lab knows neither.
    """
    ours = endpoint.provider in _WAYS_OF_THE_LAB and endpoint.version != ""
    return {
        "version": endpoint.version if ours else "unknown: UmaDB does not report it",
        "sync": _EVERY_COMMIT if ours else UNKNOWN,
        **_flags(endpoint),
    }


def file_of(endpoint: Endpoint) -> Path | None:
    """The server's file, where it is a process of the lab's own."""
    folders = [
        word.removeprefix(_PATH_FLAG)
        for word in _command_line(endpoint)
        if word.startswith(_PATH_FLAG)
    ]
    return Path(folders[-1], _FILE) if folders else None


def _flags(endpoint: Endpoint) -> dict[str, str]:
    """The options on its command line that are no address and no path."""
    options = (word[2:].partition("=") for word in _command_line(endpoint) if word.startswith("--"))
    return {name: value for name, _, value in options if name not in ("listen", "db-path")}


def _command_line(endpoint: Endpoint) -> list[str]:
    if endpoint.provider != "native" or endpoint.pid is None:
        return []
    try:
        return [*psutil.Process(endpoint.pid).cmdline()]
    except psutil.Error:
        return []


_PAGE_BYTES = 4096
_HEADER_PAGES = 2
"""The first two pages are written in turns: the one with the higher number counts."""
_HEADER = struct.Struct("<QQ")
"""Number of the transaction, and the first page that no transaction has used."""
_PAGE_HEADER_BYTES = 9


def used_bytes(file: Path) -> int | None:
    """Bytes of the file's pages in use, free ones among them included; `None` if it is unreadable.

    The file itself is made longer far ahead, by 128 MiB and more.
    """
    try:
        with file.open("rb") as opened:
            start = opened.read(_HEADER_PAGES * _PAGE_BYTES)
        length = file.stat().st_size
    except OSError:
        return None
    if len(start) < _HEADER_PAGES * _PAGE_BYTES:
        return None
    offsets = (number * _PAGE_BYTES + _PAGE_HEADER_BYTES for number in range(_HEADER_PAGES))
    _, pages = max(_HEADER.unpack_from(start, offset) for offset in offsets)
    used = pages * _PAGE_BYTES
    return used if _HEADER_PAGES * _PAGE_BYTES <= used <= length else None
