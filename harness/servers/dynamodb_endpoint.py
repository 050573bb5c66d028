"""`ESLAB_DYNAMODB_ENDPOINT` taken apart; credentials come from the ordinary AWS environment."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from harness.servers.external import Address

_EXPECTED = "expected http://host:port or https://host"
_PORTS = {"http": 80, "https": 443}


def parse(text: str) -> Address:
    """The address of a server. `ValueError` says what is wrong without repeating the text."""
    parts, port = _split(text.strip())
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError(f"not the address of a DynamoDB; {_EXPECTED}")
    if "@" in parts.netloc:
        raise ValueError(
            "credentials do not belong in it: AWS_ACCESS_KEY_ID, AWS_PROFILE and so on are used"
        )
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(f"something stands behind the host; {_EXPECTED}")
    hosts = ((parts.hostname, port or _PORTS[parts.scheme]),)
    return Address(f"{parts.scheme}://{parts.netloc}", hosts, {})


def _split(text: str) -> tuple[SplitResult, int | None]:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(f"not readable as an address; {_EXPECTED}") from None
    return parts, port
