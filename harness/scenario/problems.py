"""Pydantic's validation errors as one line in the lab's words, with their place in the file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from harness.domain.errors import BadInput
from harness.scenario.text import Document, Path_
from harness.scenario.wording import did_you_mean, shown

_EXPECTED: Mapping[str, str] = {
    "int_type": "expected a whole number",
    "int_from_float": "expected a whole number",
    "int_parsing": "expected a whole number",
    "float_type": "expected a number",
    "float_parsing": "expected a number",
    "finite_number": "expected a finite number",
    "string_type": "expected text",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "list_type": "expected a list",
    "dict_type": "expected a mapping (key: value)",
    "mapping_type": "expected a mapping (key: value)",
    "model_type": "expected a mapping (key: value)",
    "model_attributes_type": "expected a mapping (key: value)",
    "greater_than": "expected more than {gt:g}",
    "greater_than_equal": "expected at least {ge:g}",
    "less_than": "expected less than {lt:g}",
    "less_than_equal": "expected at most {le:g}",
    "too_short": "expected at least {min_length}",
    "too_long": "expected at most {max_length}",
    "string_too_short": "expected at least {min_length} characters",
    "string_too_long": "expected at most {max_length} characters",
    "string_pattern_mismatch": "expected text that matches {pattern}",
    "literal_error": "expected {expected}",
}


def translate(
    error: ValidationError, document: Document, model: type[BaseModel], under: Path_ = ()
) -> BadInput:
    """The first error in the value at `under` in the document."""
    first = error.errors(include_url=False)[0]
    missing = first["type"] == "missing"
    loc = _in_content(_at(document.content, under), first["loc"], missing=missing)
    path = (*under, *loc)
    name = ".".join(map(str, path))
    if first["type"] == "extra_forbidden":
        return _unknown_key(document, path, _allowed_keys(model, first["loc"][:-1]))
    if missing:
        where = f" in {name.rpartition('.')[0]}" if "." in name else ""
        return document.wrong(f"{str(first['loc'][-1])!r} is missing{where}", path[:-1])
    return document.wrong(f"{name or 'the file'}: {expectation(first)}", path)


def expectation(error: ErrorDetails) -> str:
    """What one of pydantic's errors expected, and the value that it got."""
    context = error.get("ctx", {})
    if error["type"] == "value_error":
        return str(context["error"])
    template = _EXPECTED.get(error["type"])
    expected = template.format(**context) if template else _lower(error["msg"])
    expected = "expected true" if expected == "expected True" else expected
    hint = ""
    if error["type"] == "literal_error" and isinstance(error["input"], str):
        hint = did_you_mean(error["input"], context["expected"].replace("'", "").split())
    return f"{expected}, got {shown(error['input'])}{hint}"


def _unknown_key(document: Document, path: Path_, allowed: Iterable[str]) -> BadInput:
    names = sorted(allowed)
    message = (
        f"unknown key {shown(str(path[-1]))}; allowed: {', '.join(names) or 'none'}"
        f"{did_you_mean(str(path[-1]), names)}"
    )
    return document.wrong(message, path, at_key=True)


def _allowed_keys(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """The keys that the model takes at an error's place."""
    models: list[type[BaseModel]] = [model]
    for step in loc:
        fields = [each.model_fields[step] for each in models if step in each.model_fields]
        if fields:
            models = [inner for field in fields for inner in _models(field.annotation)]
    return [field.alias or name for each in models for name, field in each.model_fields.items()]


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [inner for part in get_args(annotation) for inner in _models(part)]


def _in_content(content: Any, loc: tuple[int | str, ...], *, missing: bool) -> Path_:
    """An error's place without the names of union branches, which no file contains."""
    path: list[str | int] = []
    for step in loc:
        if isinstance(content, list) and isinstance(step, int):
            content = content[step] if step < len(content) else None
        elif isinstance(content, dict) and (step in content or (missing and step == loc[-1])):
            content = content.get(step)
        else:
            continue
        path.append(step)
    return tuple(path)


def _at(content: Any, path: Path_) -> Any:
    for step in path:
        content = content[step]
    return content


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
