"""`load.open.ramp`: a varied rate written as its first value, its last, and how many there are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from harness.scenario.model import Ramp
from harness.scenario.problems import translate
from harness.scenario.text import Document

_RATE = "load.open.rate_per_s"
_PLACE = ("load", "open", "ramp")


def unrolled(document: Document) -> Document:
    """The document with a ramp as values of `vary`; as it is without one. Raises `BadInput`."""
    content = document.content
    offered = _inner(_inner(content, "load"), "open")
    if "ramp" not in offered:
        return document
    if len(offered.keys() & {"rate_per_s", "of_capacity", "search"}) or _RATE in _varied(content):
        raise document.wrong("ramp: expected no other rate beside it", _PLACE)
    try:
        ramp = Ramp.model_validate(offered["ramp"])
    except ValidationError as error:
        raise translate(error, document, Ramp, _PLACE) from None
    rest = {name: value for name, value in offered.items() if name != "ramp"}
    load = {**content["load"], "open": rest}
    vary = {**content.get("vary", {}), _RATE: ramp.rates()}
    return replace(document, content={**content, "load": load, "vary": vary})


def _inner(content: Any, name: str) -> dict[str, Any]:
    inner = content.get(name) if isinstance(content, dict) else None
    return inner if isinstance(inner, dict) else {}


def _varied(content: Any) -> dict[str, Any]:
    return _inner(content, "vary")
