"""The client that is installed: `esdbclient`, or its successor under its new names."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from dataclasses import dataclass
from functools import cache
from typing import Any

from harness.errors import MissingExtra


@dataclass(frozen=True, slots=True)
class Library:
    """What the adapter needs of either; the two cannot be installed side by side."""

    client: Any
    exceptions: Any
    new_event: Any
    stream_state: Any
    common: Any
    """Its module that turns gRPC's errors into its own."""

    def once(self, method: str) -> Any:
        """A method of the client without its decorators.

        They try a call again 0.1 s after a gRPC fault: the wait would hide in a service time, and
        the second try in the number of attempts.
        """
        return inspect.unwrap(getattr(self.client, method))

    def error(self, name: str) -> type[Exception]:
        """An exception by its name in `esdbclient`; the successor's names all end in Error."""
        found = getattr(self.exceptions, name, None)
        kind: type[Exception] = found or getattr(
            self.exceptions, f"{name.removesuffix('Error')}Error"
        )
        return kind

    @property
    def any_error(self) -> type[Exception]:
        """What all of them derive from."""
        older = getattr(self.exceptions, "EventStoreDBClientException", None)
        kind: type[Exception] = older or self.exceptions.KurrentDBClientError
        return kind


@cache
def library() -> Library:
    """Raises `MissingExtra` where neither is installed."""
    for package, client in (
        ("esdbclient", "AsyncEventStoreDBClient"),
        ("kurrentdbclient", "AsyncKurrentDBClient"),
    ):
        if importlib.util.find_spec(package):
            root = importlib.import_module(package)
            return Library(
                client=getattr(root, client),
                exceptions=importlib.import_module(f"{package}.exceptions"),
                new_event=root.NewEvent,
                stream_state=root.StreamState,
                common=importlib.import_module(f"{package}.common"),
            )
    raise MissingExtra(
        "the driver esdbclient is not installed; pip install 'eventstore-lab[eventstoredb]'"
    )
