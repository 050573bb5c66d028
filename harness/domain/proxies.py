"""The proxy that the environment puts between the lab and a server, decided once for every driver.

Drivers differ in the variables that they obey, and none of them leaves loopback out: boto3 reads
both spellings, gRPC only the lower one, others none. So each driver gets what is decided here,
and the manifest says the same. No driver obeys `all_proxy`, and neither does the lab.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import urlsplit

from harness.domain.errors import BadInput

_GRPC = ("grpc_proxy", "https_proxy", "http_proxy")
_VARIABLES = {"http": ("http_proxy",), "https": ("https_proxy",)} | dict.fromkeys(
    ("esdb", "esdb+discover", "kurrentdb", "kurrentdb+discover", "kdb", "kdb+discover",
     "grpc", "grpcs"),
    _GRPC,
)  # fmt: skip
"""By the scheme of an address; the first that is set counts. Other protocols know no proxies."""
_NONE_FOR = ("no_proxy",)
_NONE_FOR_GRPC = ("no_grpc_proxy", "no_proxy")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that a variable names."""

    url: str = field(repr=False)
    """As drivers want it; it may hold a password."""
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def proxy_to(address: str) -> Proxy | None:
    """The proxy on the way to a server; `None` to loopback, and to hosts of `no_proxy`.

    Of several hosts one such is enough: a driver has one proxy for all of them. Raises `BadInput`
    for a proxy that the server's driver cannot use. Looks a name up, if a proxy is set at all.
    """
    scheme = address.partition("://")[0]
    variables = _VARIABLES.get(scheme, ())
    named = next(((name, text) for name in variables if (text := _value(name))), None)
    if named is None:
        return None
    spared = _NONE_FOR_GRPC if variables == _GRPC else _NONE_FOR
    exempt = next((text for name in spared if (text := _value(name))), "")
    for place in urlsplit(address).netloc.rpartition("@")[2].split(","):
        host, port = _host_and_port(place)
        if is_loopback(host) or _is_exempt(host, port, exempt):
            return None
    return _parsed(*named, allowed=("http",) if variables == _GRPC else ("http", "https"))


@lru_cache(maxsize=64)
def is_loopback(host: str) -> bool:
    """Whether a host, a name or an address, is this machine's loopback interface."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    addresses = [*_addresses(name)]
    return bool(addresses) and all(map(_is_own, addresses))


@contextmanager
def past_proxies(host: str) -> Iterator[None]:
    """Keep whoever reads the environment inside the block from a proxy to the host."""
    before = {name: os.environ.get(name) for name in ("no_proxy", "NO_PROXY")}
    kept = next(filter(None, before.values()), "")
    os.environ.update(dict.fromkeys(before, f"{kept},{host}".lstrip(",")))
    try:
        yield
    finally:
        for name, text in before.items():
            os.environ.pop(name)
            if text is not None:
                os.environ[name] = text


def _value(name: str) -> str:
    """A variable in either spelling; the lower one counts, even if it is empty."""
    text = os.environ.get(name)
    return (os.environ.get(name.upper(), "") if text is None else text).strip()


def _parsed(variable: str, text: str, *, allowed: tuple[str, ...]) -> Proxy:
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        host, port = None, None
    if not host or not port or parts.scheme not in allowed:
        kinds = " or ".join(f"{scheme}://host:port" for scheme in allowed)
        raise BadInput(
            f"{variable}: not a proxy that this server's driver can use; expected {kinds}, or the"
            " server's host in no_proxy"
        )
    return Proxy(url, host, port)


def _host_and_port(place: str) -> tuple[str, str]:
    match = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(?::(\d*))?", place)
    return (match[1].strip("[]").rstrip(".").lower(), match[2] or "") if match else (place, "")


def _is_exempt(host: str, port: str, listed: str) -> bool:
    return any(_matches(host, port, entry) for entry in re.split(r"[,\s]+", listed.lower()))


def _matches(host: str, port: str, entry: str) -> bool:
    """`*`, a name with everything below it, an address or a network; a port narrows a name."""
    if entry == "*":
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        pass
    name, only = _host_and_port(entry)
    name = name.removeprefix("*").removeprefix(".")
    return bool(name) and only in ("", port) and (host == name or host.endswith(f".{name}"))


def _addresses(name: str) -> Iterator[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Those of a name; none where it is not known here: perhaps only the proxy knows it."""
    try:
        found = [name] if _is_address(name) else _looked_up(name)
    except (OSError, UnicodeError):
        return
    for text in found:
        yield ipaddress.ip_address(text.partition("%")[0])


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _looked_up(name: str) -> list[str]:
    return [str(place[0]) for *_, place in socket.getaddrinfo(name, None) if name]


def _is_own(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Loopback; connecting to the unspecified address leads there, too."""
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_loopback or mapped.is_unspecified)
