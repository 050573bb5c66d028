"""`ESLAB_EVENTSTOREDB_URI` taken apart: its secrets apart from where the server is."""

from __future__ import annotations

from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from harness.servers.external import Address

_EXPECTED = "expected esdb://[user:password@]host:port[,host:port…][?tls=false]"
_SCHEMES = ("esdb", "esdb+discover", "kurrentdb", "kurrentdb+discover", "kdb", "kdb+discover")
_PORT = 2113


def parse(text: str) -> Address:
    """The parts of a connection string. `ValueError` says what is wrong and repeats no secret."""
    try:
        parts = urlsplit(text.strip())
    except ValueError:
        raise ValueError(f"not readable as an address; {_EXPECTED}") from None
    if parts.scheme not in _SCHEMES:
        raise ValueError(f"not the address of an EventStoreDB; {_EXPECTED}")
    user_info, at, places = parts.netloc.rpartition("@")
    user, colon, password = user_info.partition(":")
    if at and not (user and colon and password):
        raise ValueError(f"a user without a password, or the other way; {_EXPECTED}")
    credentials = {"username": unquote(user), "password": unquote(password)} if at else {}
    hosts = tuple(_host(place) for place in places.split(","))
    return Address(urlunsplit(SplitResult(*parts)._replace(netloc=places)), hosts, credentials)


def _host(place: str) -> tuple[str, int]:
    host, _, port = place.rpartition(":") if ":" in place else (place, "", str(_PORT))
    if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise ValueError(f"its host or port is not readable; {_EXPECTED}")
    return host, int(port)
