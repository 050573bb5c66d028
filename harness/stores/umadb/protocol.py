"""UmaDB's messages and calls, as `umadb.proto` describes them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from harness.stores._shared.protocol_file import ProtocolFile

Fields = dict[str, Any]
"""A message as what it is made from. One call makes it with the message around it, at half the
cost of an object for each."""

PROTOCOL = ProtocolFile(Path(__file__).with_name("umadb.proto"), extra="umadb")


def messages() -> SimpleNamespace:
    """The classes of all messages, by name. Raises `MissingExtra` without the protobuf library."""
    return PROTOCOL.messages
