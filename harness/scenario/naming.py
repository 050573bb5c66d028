"""Naming a store: `name[:variant][{key=value,…}]`, the key used in every table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from harness.errors import BadInput

_NAME = re.compile(
    r"(?P<name>[a-z0-9_]+)(?::(?P<variant>[a-z0-9-]+))?(?:\{(?P<options>[^{}]*)\})?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class StoreRef:
    """A store variant with its options. `explicit` holds only options that differ from defaults."""

    technology: str
    variant: str = ""
    explicit: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    options: Any = field(default=None, compare=False, repr=False)
    """The validated options model, filled in by the scenario loader."""

    @property
    def key(self) -> str:
        """The canonical form: keys sorted, defaults left out."""
        return self.design + (f"{{{self.options_text}}}" if self.explicit else "")

    @property
    def design(self) -> str:
        """`name[:variant]`, without options."""
        return self.technology + (f":{self.variant}" if self.variant else "")

    @property
    def options_text(self) -> str:
        """`key=value,…` of the options that differ from their defaults."""
        return ",".join(f"{key}={_spell(value)}" for key, value in sorted(self.explicit.items()))

    def __str__(self) -> str:
        return self.key


def parse_store_name(text: str) -> tuple[str, str, dict[str, str]]:
    """`name:variant{key=value}` as technology, variant and raw option strings."""
    match = _NAME.fullmatch(text.strip())
    if match is None:
        raise BadInput(f"{text!r} is not a store name; expected name[:variant][{{key=value,…}}]")
    return match["name"], match["variant"] or "", _parse_options(text, match["options"] or "")


def split_store_list(text: str) -> list[str]:
    """A comma-separated list of store names; commas inside braces belong to options."""
    return [part.strip() for part in re.split(r",(?![^{]*\})", text) if part.strip()]


def _parse_options(text: str, body: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for item in filter(None, (part.strip() for part in body.split(","))):
        key, equals, value = item.partition("=")
        if not equals or not key.strip() or not value.strip():
            raise BadInput(f"{text!r}: {item!r} is not an option; expected key=value")
        if key.strip() in options:
            raise BadInput(f"{text!r}: option {key.strip()!r} is given twice")
        options[key.strip()] = value.strip()
    return options


def _spell(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
