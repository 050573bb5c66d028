"""What the lab has to know of each technology to measure the path to its server, or lengthen it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from harness.servers import dynamodb_endpoint, kafka_bootstrap, postgres_dsn
from harness.servers.external import Address
from harness.servers.path import pings

_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Line:
    """One technology's."""

    parse: Callable[[str], Address]
    ping: pings.Pinging
    through: Callable[[str, int], str] | str
    """The address by way of a local port; or why its clients cannot be led that way."""


def _postgres(address: str, port: int) -> str:
    parts = urlsplit(address)
    user, at, _ = parts.netloc.rpartition("@")
    query = [(k, v) for k, v in parse_qsl(parts.query) if k not in {"host", "port"}]
    netloc = f"{user}{at}{_HOST}:{port}"
    return urlunsplit((parts.scheme, netloc, parts.path, urlencode(query), ""))


def _dynamodb(address: str, port: int) -> str:
    return urlunsplit(urlsplit(address)._replace(netloc=f"{_HOST}:{port}"))


LINES: Mapping[str, Line] = {
    "postgres": Line(postgres_dsn.parse, pings.postgres, _postgres),
    "kafka": Line(
        kafka_bootstrap.parse,
        pings.kafka,
        "its brokers tell clients where they are, so that no relay stays between them",
    ),
    "dynamodb": Line(dynamodb_endpoint.parse, pings.http, _dynamodb),
}
