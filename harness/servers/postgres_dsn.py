"""`ESLAB_POSTGRES_DSN` taken apart: where to go, and what must not be shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from harness.servers.external import Address

_EXPECTED = "expected postgresql://user:password@host:port/database"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_PLACE = re.compile(r"(?P<host>\[[^\[\]]+\]|[^:\[\]]*)(?::(?P<port>\d{0,5}))?", re.ASCII)
_DEFAULT_PORT = "5432"
_DEFAULT_SOCKETS = "/var/run/postgresql"
_PORT_MAX = 65535


def parse(text: str) -> Address:
    """The parts of a DSN. `ValueError` says what is wrong without repeating the text."""
    parts = _split(text.strip())
    user_info, _, places = parts.netloc.rpartition("@")
    user, _, password = user_info.partition(":")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    secrets = {key: value for key, value in query.items() if key.lower().endswith("password")}
    shown = {key: value for key, value in query.items() if key not in secrets}
    if password:
        secrets["password"] = unquote(password)
    netloc = f"{user}@{places}" if user else places
    address = urlunsplit(("postgresql", netloc, parts.path, urlencode(shown, safe="/:,"), ""))
    return Address(address, _hosts(places, shown), secrets)


def _split(text: str) -> SplitResult:
    scheme = _SCHEME.match(text)
    if scheme is None:
        raise ValueError(f"not a DSN; {_EXPECTED}")
    if scheme[1] not in {"postgresql", "postgres"}:
        raise ValueError(f"the scheme {scheme[1]!r} is not PostgreSQL's; {_EXPECTED}")
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError(f"not readable as a DSN; {_EXPECTED}") from None
    if parts.fragment or "@" in parts.path + parts.query:
        # What follows is part of a password, so the rest of it would be taken for a host.
        raise ValueError("write / ? # and @ in a password as %2F %3F %23 and %40")
    return parts


def _hosts(places: str, query: Mapping[str, str]) -> tuple[tuple[str, int], ...]:
    named = places or query.get("host", "")
    return tuple(_host(place, query.get("port") or _DEFAULT_PORT) for place in named.split(","))


def _host(place: str, default_port: str) -> tuple[str, int]:
    match = _PLACE.fullmatch(place)
    port = (match["port"] or default_port) if match else ""
    if match is None or not port.isdecimal() or not 0 < int(port) <= _PORT_MAX:
        raise ValueError(f"its host or port is not readable; {_EXPECTED}")
    host = unquote(match["host"]).strip("[]") or _DEFAULT_SOCKETS
    return (f"{host}/.s.PGSQL.{port}", 0) if host.startswith("/") else (host, int(port))
