"""The user's own servers, at the address in a variable; never started, stopped or disturbed."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from harness.domain.errors import BadInput, NoServer
from harness.domain.faults import FaultKind
from harness.domain.proxies import proxy_to
from harness.domain.server import (
    Availability,
    DataFolder,
    Server,
    Statistics,
    UnsupportedByServer,
)
from harness.domain.store import Endpoint

_PROBE_LIMIT_S = 2.0


@dataclass(frozen=True, slots=True)
class Address:
    """The address in an environment variable, its secrets kept separately."""

    address: str
    """Without secrets."""
    hosts: tuple[tuple[str, int], ...]
    """Where to connect: host and port, or the path of a unix socket and 0."""
    credentials: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class External:
    """The way `external` of one technology: the variable that names a server, and its grammar."""

    technology: str
    variable: str
    parse: Callable[[str], Address]
    """Raises `ValueError` with what is wrong, never with the text itself."""

    @property
    def named(self) -> bool:
        """Whether the variable is set."""
        return bool(os.environ.get(self.variable))

    def probe(self) -> Availability:
        """Whether a server listens at the address; credentials are not tried."""
        if not self.named:
            advice = f"set {self.variable}"
            return Availability(self.technology, "external", ready=False, detail=advice)
        address = self._address()
        reason = _unreachable(address)
        proxy = proxy_to(address.address)
        through = f" through the proxy {proxy}" if proxy else ""
        where = ", ".join(map(_shown, address.hosts)) + through
        detail = f"{self.variable}: {reason or where}"
        return Availability(
            self.technology, "external", ready=not reason, detail=detail, named=True
        )

    def server(
        self, *, scratch: Path, settings: Mapping[str, str], on_lab_disk: bool = False
    ) -> Server:
        """The server at the address. Its settings are its owner's."""
        del scratch, on_lab_disk  # the lab keeps no files for a server of the user's
        if not self.named:
            raise NoServer(f"{self.technology}: set {self.variable}")
        if settings:
            raise NoServer(
                f"{self.technology}: the lab cannot set {', '.join(settings)} on the server that "
                f"{self.variable} names; take the settings out of the scenario or use "
                "--servers native"
            )
        return ExternalServer(self.technology, self.variable, self._address())

    def _address(self) -> Address:
        try:
            return self.parse(os.environ[self.variable])
        except ValueError as error:
            raise BadInput(f"{self.variable}: {error}") from None


class ExternalServer:
    """A server that the user runs: the lab knows its address and must not control it."""

    controllable = False
    warm_up_s = 0.0

    def __init__(self, technology: str, variable: str, address: Address) -> None:
        self.technology = technology
        self._variable, self._address = variable, address

    @property
    def endpoint(self) -> Endpoint:
        """The address, with its secrets in `credentials`."""
        return Endpoint(
            self._address.address, credentials=self._address.credentials, provider="external"
        )

    async def data_folder(self) -> DataFolder | None:
        """`None`: the address does not say."""
        return None

    async def start(self) -> None:
        """Try to connect. Raises `NoServer` if no server listens."""
        reason = await asyncio.to_thread(_unreachable, self._address)
        if reason:
            raise NoServer(f"{self.technology}: {self._variable}: {reason}")

    async def stop(self) -> None:
        """Do nothing: `start` makes nothing."""

    async def restart(self, *, cold: bool = False) -> None:
        """Raises `UnsupportedByServer`."""
        raise self._refusal("cold restart" if cold else "restart")

    async def kill(self) -> None:
        """Raises `UnsupportedByServer`."""
        raise self._refusal("kill")

    async def pause(self) -> None:
        """Raises `UnsupportedByServer`."""
        raise self._refusal("pause")

    async def resume(self) -> None:
        """Raises `UnsupportedByServer`."""
        raise self._refusal("resume")

    def why_not(self, kind: FaultKind) -> str:
        """It is the user's: the lab never hurts it."""
        return f"no {kind}: an external server is not the lab's to hurt"

    async def lose_power(self) -> None:
        """Raises `UnsupportedByServer`."""
        raise self._refusal("power loss")

    async def fill_disk(self) -> None:
        """Raises `UnsupportedByServer`."""
        raise self._refusal("full disk")

    async def free_disk(self) -> None:
        """Raises `UnsupportedByServer`."""
        raise self._refusal("full disk")

    async def pin(self, cores: frozenset[int]) -> None:
        """Raises `UnsupportedByServer`."""
        raise self._refusal(f"pinning to {len(cores)} cores")

    def statistics(self) -> Statistics:
        """No value is available from outside the server."""
        return Statistics(None, None, None)

    def _refusal(self, what: str) -> UnsupportedByServer:
        return UnsupportedByServer(
            f"{self.technology}: no {what} of an external server ({self._variable})"
        )


def _unreachable(address: Address) -> str:
    """Why no host answers, or an empty string if one does; of a proxy, whether it does."""
    proxy = proxy_to(address.address)
    reasons = []
    for host in ((proxy.host, proxy.port),) if proxy else address.hosts:
        try:
            _knock(*host)
        except OSError as error:
            named = "the proxy " if proxy else ""
            reasons.append(f"no answer at {named}{_shown(host)} ({error.strerror or error})")
        else:
            return ""
    return "; ".join(reasons)


def _knock(host: str, port: int) -> None:
    if port:
        socket.create_connection((host, port), timeout=_PROBE_LIMIT_S).close()
        return
    with socket.socket(socket.AF_UNIX) as knocking:
        knocking.settimeout(_PROBE_LIMIT_S)
        knocking.connect(host)


def _shown(host: tuple[str, int]) -> str:
    name, port = host
    return f"{name}:{port}" if port else name


_EXPECTED_DSN = "expected postgresql://user:password@host:port/database"
_SCHEME_DSN = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_PLACE_DSN = re.compile(r"(?P<host>\[[^\[\]]+\]|[^:\[\]]*)(?::(?P<port>\d{0,5}))?", re.ASCII)
_DEFAULT_PORT = "5432"
_DEFAULT_SOCKETS = "/var/run/postgresql"
_PORT_MAX_DSN = 65535


def postgres_address(text: str) -> Address:
    """The parts of a DSN. Raises `ValueError` with what is wrong; it does not repeat the text."""
    parts = _split_dsn(text.strip())
    user_info, _, places = parts.netloc.rpartition("@")
    user, _, password = user_info.partition(":")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    secrets = {key: value for key, value in query.items() if key.lower().endswith("password")}
    shown = {key: value for key, value in query.items() if key not in secrets}
    if password:
        secrets["password"] = unquote(password)
    netloc = f"{user}@{places}" if user else places
    address = urlunsplit(("postgresql", netloc, parts.path, urlencode(shown, safe="/:,"), ""))
    return Address(address, _hosts_dsn(places, shown), secrets)


def _split_dsn(text: str) -> SplitResult:
    scheme = _SCHEME_DSN.match(text)
    if scheme is None:
        raise ValueError(f"not a DSN; {_EXPECTED_DSN}")
    if scheme[1] not in {"postgresql", "postgres"}:
        raise ValueError(f"the scheme {scheme[1]!r} is not PostgreSQL's; {_EXPECTED_DSN}")
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError(f"not readable as a DSN; {_EXPECTED_DSN}") from None
    if parts.fragment or "@" in parts.path + parts.query:
        # What follows is part of a password, so the rest of it would be taken for a host.
        raise ValueError("write / ? # and @ in a password as %2F %3F %23 and %40")
    return parts


def _hosts_dsn(places: str, query: Mapping[str, str]) -> tuple[tuple[str, int], ...]:
    port = query.get("port") or _DEFAULT_PORT
    if places:
        return tuple(_host_dsn(place, port) for place in places.split(","))
    # Decoded already; a comma separates hosts even there, so no driver takes a path with one.
    return tuple(_host_in_query(place, port) for place in query.get("host", "").split(","))


def _host_in_query(place: str, port: str) -> tuple[str, int]:
    return _host_dsn(quote(place) if place.startswith("/") else place, port)


def _host_dsn(place: str, default_port: str) -> tuple[str, int]:
    match = _PLACE_DSN.fullmatch(place)
    port = (match["port"] or default_port) if match else ""
    if match is None or not port.isdecimal() or not 0 < int(port) <= _PORT_MAX_DSN:
        raise ValueError(f"its host or port is not readable; {_EXPECTED_DSN}")
    host = unquote(match["host"]).strip("[]") or _DEFAULT_SOCKETS
    return (f"{host}/.s.PGSQL.{port}", 0) if host.startswith("/") else (host, int(port))


_EXPECTED_BOOTSTRAP = (
    "expected [user:password@]host:port[,host:port…][?security=…&mechanism=…&ca=FILE]"
)
_PLACE_BOOTSTRAP = re.compile(r"(?P<host>\[[^\[\]]+\]|[A-Za-z0-9._-]+):(?P<port>\d{1,5})", re.ASCII)
_PORT_MAX_BOOTSTRAP = 65535
_ALLOWED: Mapping[str, tuple[str, ...]] = {
    "security": ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    "mechanism": ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"),
    "ca": (),
}


def kafka_address(text: str) -> Address:
    """The parts of a bootstrap list. Raises `ValueError`, which does not repeat the text.

    The default of `security` is SASL_SSL with a user, and PLAINTEXT without one.
    """
    before, _, query = text.strip().rpartition("?") if "?" in text else (text.strip(), "", "")
    user_info, at, places = before.rpartition("@")
    user, _, password = user_info.partition(":")
    if at and not (user and password):
        raise ValueError(f"a user without a password, or the other way; {_EXPECTED_BOOTSTRAP}")
    hosts = tuple(_host_bootstrap(place) for place in places.split(","))
    return Address(places, hosts, _way_in_bootstrap(query, unquote(user), unquote(password)))


def _way_in_bootstrap(query: str, user: str, password: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
    for key, value in options.items():
        if key not in _ALLOWED:
            raise ValueError(f"unknown option {key!r}; allowed: {', '.join(_ALLOWED)}")
        if _ALLOWED[key] and value not in _ALLOWED[key]:
            raise ValueError(f"{key} must be one of {', '.join(_ALLOWED[key])}")
    if user:
        options = {"security": "SASL_SSL", "mechanism": "PLAIN", **options}
        options |= {"username": user, "password": password}
    if options.get("security", "").startswith("SASL") != bool(user):
        raise ValueError(
            f"SASL needs a user and a password, and they need SASL; {_EXPECTED_BOOTSTRAP}"
        )
    return options


def _host_bootstrap(place: str) -> tuple[str, int]:
    match = _PLACE_BOOTSTRAP.fullmatch(place)
    if match is None or not 0 < int(match["port"]) <= _PORT_MAX_BOOTSTRAP:
        raise ValueError(f"its host or port is not readable; {_EXPECTED_BOOTSTRAP}")
    return match["host"].strip("[]"), int(match["port"])


_EXPECTED_ENDPOINT = "expected http://host:port or https://host"
_PORTS_ENDPOINT = {"http": 80, "https": 443}


def dynamodb_address(text: str) -> Address:
    """The address of a server. Raises `ValueError`, which does not repeat the text."""
    parts, port = _split_endpoint(text.strip())
    if parts.scheme not in _PORTS_ENDPOINT or not parts.hostname:
        raise ValueError(f"not the address of a DynamoDB; {_EXPECTED_ENDPOINT}")
    if "@" in parts.netloc:
        raise ValueError(
            "credentials do not belong in it: AWS_ACCESS_KEY_ID, AWS_PROFILE and so on are used"
        )
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(f"nothing may follow host and port; {_EXPECTED_ENDPOINT}")
    hosts = ((parts.hostname, port or _PORTS_ENDPOINT[parts.scheme]),)
    return Address(f"{parts.scheme}://{parts.netloc}", hosts, {})


def _split_endpoint(text: str) -> tuple[SplitResult, int | None]:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(f"not readable as an address; {_EXPECTED_ENDPOINT}") from None
    return parts, port


_EXPECTED_URI = "expected esdb://[user:password@]host:port[,host:port…][?tls=false]"
_SCHEMES_URI = ("esdb", "esdb+discover", "kurrentdb", "kurrentdb+discover", "kdb", "kdb+discover")
_PORT_URI = 2113


def eventstoredb_address(text: str) -> Address:
    """The parts of a connection string. Raises `ValueError`, which repeats no secret."""
    try:
        parts = urlsplit(text.strip())
    except ValueError:
        raise ValueError(f"not readable as an address; {_EXPECTED_URI}") from None
    if parts.scheme not in _SCHEMES_URI:
        raise ValueError(f"not the address of an EventStoreDB; {_EXPECTED_URI}")
    user_info, at, places = parts.netloc.rpartition("@")
    user, colon, password = user_info.partition(":")
    if at and not (user and colon and password):
        raise ValueError(f"a user without a password, or the other way; {_EXPECTED_URI}")
    credentials = {"username": unquote(user), "password": unquote(password)} if at else {}
    hosts = tuple(_host_uri(place) for place in places.split(","))
    return Address(urlunsplit(SplitResult(*parts)._replace(netloc=places)), hosts, credentials)


_EXPECTED_URL = "expected http://host:port or https://[API-KEY@]host:port[?ca=FILE]"
_SCHEMES_URL = {"http": "grpc", "grpc": "grpc", "https": "grpcs", "grpcs": "grpcs"}
_SECURE_URL = "grpcs"
_PORT_URL = 50051


def umadb_address(text: str) -> Address:
    """The address of a server. Raises `ValueError`, which does not repeat the text.

    The address that the adapter gets has the scheme `grpc`, or `grpcs` over TLS.
    """
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        raise ValueError(f"not readable as an address; {_EXPECTED_URL}") from None
    scheme = _SCHEMES_URL.get(parts.scheme)
    user_info, _, place = parts.netloc.rpartition("@")
    if scheme is None or not parts.hostname or parts.path not in ("", "/") or parts.fragment:
        raise ValueError(f"not the address of an UmaDB; {_EXPECTED_URL}")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if query.keys() - {"ca"} or (query and scheme != _SECURE_URL):
        raise ValueError(f"of options there is ca alone, for https; {_EXPECTED_URL}")
    if user_info and scheme != _SECURE_URL:
        raise ValueError(f"an API key is sent over TLS alone; {_EXPECTED_URL}")
    key = unquote(user_info.removeprefix(":"))
    if user_info and not (key and key.isascii() and key.isprintable()):
        raise ValueError(f"the API key is not one that can be sent; {_EXPECTED_URL}")
    place = place if port else f"{place.removesuffix(':')}:{_PORT_URL}"
    address = urlunsplit((scheme, place, "", urlencode(query, safe="/:,"), ""))
    hosts = ((parts.hostname, port or _PORT_URL),)
    return Address(address, hosts, {"api_key": key} if key else {})


def _host_uri(place: str) -> tuple[str, int]:
    host, _, port = place.rpartition(":") if ":" in place else (place, "", str(_PORT_URI))
    if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise ValueError(f"its host or port is not readable; {_EXPECTED_URI}")
    return host, int(port)
