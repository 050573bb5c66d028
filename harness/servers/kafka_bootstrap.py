"""`ESLAB_KAFKA_BOOTSTRAP` taken apart: where to go, how to be let in, what must not be shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote

from harness.servers.external import Address

_EXPECTED = "expected [user:password@]host:port[,host:port…][?security=…&mechanism=…&ca=FILE]"
_PLACE = re.compile(r"(?P<host>\[[^\[\]]+\]|[A-Za-z0-9._-]+):(?P<port>\d{1,5})", re.ASCII)
_PORT_MAX = 65535
_ALLOWED: Mapping[str, tuple[str, ...]] = {
    "security": ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    "mechanism": ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"),
    "ca": (),
}


def parse(text: str) -> Address:
    """The parts of a bootstrap list. `ValueError` says what is wrong without repeating the text.

    With a user, `security` is SASL_SSL unless told otherwise; without one, PLAINTEXT.
    """
    before, _, query = text.strip().rpartition("?") if "?" in text else (text.strip(), "", "")
    user_info, at, places = before.rpartition("@")
    user, _, password = user_info.partition(":")
    if at and not (user and password):
        raise ValueError(f"a user without a password, or the other way; {_EXPECTED}")
    hosts = tuple(_host(place) for place in places.split(","))
    return Address(places, hosts, _way_in(query, unquote(user), unquote(password)))


def _way_in(query: str, user: str, password: str) -> dict[str, str]:
    told = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
    for key, value in told.items():
        if key not in _ALLOWED:
            raise ValueError(f"unknown option {key!r}; allowed: {', '.join(_ALLOWED)}")
        if _ALLOWED[key] and value not in _ALLOWED[key]:
            raise ValueError(f"{key} must be one of {', '.join(_ALLOWED[key])}")
    if user:
        told = {"security": "SASL_SSL", "mechanism": "PLAIN", **told}
        told |= {"username": user, "password": password}
    if told.get("security", "").startswith("SASL") != bool(user):
        raise ValueError(f"SASL needs a user and a password, and they need SASL; {_EXPECTED}")
    return told


def _host(place: str) -> tuple[str, int]:
    match = _PLACE.fullmatch(place)
    if match is None or not 0 < int(match["port"]) <= _PORT_MAX:
        raise ValueError(f"its host or port is not readable; {_EXPECTED}")
    return match["host"].strip("[]"), int(match["port"])
