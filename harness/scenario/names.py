"""Stores and workloads by name: what a scenario or a flag says, checked against what there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from harness.catalogue import Catalogue
from harness.errors import BadInput
from harness.scenario.naming import StoreRef, parse_store_name, split_store_list
from harness.scenario.problems import said
from harness.scenario.wording import did_you_mean, shown
from harness.store import StoreKind

_ELSEWHERE = "; one of your own is found where its package is installed beside the lab"


def store_named(text: str, catalogue: Catalogue) -> StoreRef:
    """`name[:variant][{key=value,…}]` as a store with valid options. Raises `BadInput`."""
    technology, variant, options = parse_store_name(text)
    kind = _kind(technology, variant, catalogue)
    _refuse_unknown_options(kind, options)
    try:
        return _ref(kind, variant, kind.options.model_validate_strings(options).model_dump())
    except ValidationError as error:
        raise _option_wrong(kind, error) from None


def store_with(text: str, options: Mapping[str, Any], catalogue: Catalogue) -> StoreRef:
    """A store named without options, and its options as YAML's own values."""
    technology, variant, inline = parse_store_name(text)
    if inline and options:
        raise BadInput(f"{text!r} has options in its name and beside it; expected one of the two")
    if not options:
        return store_named(text, catalogue)
    kind = _kind(technology, variant, catalogue)
    _refuse_unknown_options(kind, options)
    try:
        return _ref(kind, variant, kind.options.model_validate(dict(options)).model_dump())
    except ValidationError as error:
        raise _option_wrong(kind, error) from None


def chosen(text: str, catalogue: Catalogue) -> list[StoreRef]:
    """The stores that `--stores` names, at least one and each once. Raises `BadInput`."""
    refs: list[StoreRef] = []
    for name in split_store_list(text):
        try:
            refs.append(store_named(name, catalogue))
            refuse_twice(refs)
        except BadInput as error:
            raise BadInput(f"--stores: {error.message}") from None
    if not refs:
        raise BadInput("--stores: expected names, for example postgres,sqlite")
    return refs


def refuse_twice(refs: Sequence[StoreRef]) -> None:
    """Raises `BadInput` where the last of the stores is among those before it."""
    if refs[-1].key in [ref.key for ref in refs[:-1]]:
        raise BadInput(f"{refs[-1].key} is here twice")


def unknown_workload(name: str, catalogue: Catalogue) -> str:
    """The message for a workload that nobody knows."""
    names = sorted(catalogue.workloads)
    return f"unknown workload {shown(name)}; allowed: {', '.join(names)}{did_you_mean(name, names)}"


def _kind(technology: str, variant: str, catalogue: Catalogue) -> StoreKind:
    kind = catalogue.stores.get(technology)
    if kind is None:
        names = sorted(catalogue.stores)
        raise BadInput(
            f"unknown store {shown(technology)}; allowed: {', '.join(names)}"
            f"{did_you_mean(technology, names) or _ELSEWHERE}"
        )
    if variant not in kind.variants:
        names = [name for name in kind.variants if name]
        raise BadInput(
            f"{technology} has no variant {shown(variant)}; allowed: {', '.join(names) or 'none'}"
            f"{did_you_mean(variant, names)}"
        )
    return kind


def _refuse_unknown_options(kind: StoreKind, options: Mapping[str, Any]) -> None:
    for name in options:
        if name not in kind.options.model_fields:
            names = sorted(kind.options.model_fields)
            raise BadInput(
                f"{kind.name} has no option {shown(name)}; allowed: {', '.join(names) or 'none'}"
                f"{did_you_mean(name, names)}"
            )


def _ref(kind: StoreKind, variant: str, values: Mapping[str, Any]) -> StoreRef:
    defaults = kind.options().model_dump()
    explicit = {name: value for name, value in values.items() if value != defaults[name]}
    return StoreRef(kind.name, variant, MappingProxyType(explicit), kind.options(**values))


def _option_wrong(kind: StoreKind, error: ValidationError) -> BadInput:
    found = error.errors(include_url=False)[0]
    which = f"option {found['loc'][0]}" if found["loc"] else "options"
    return BadInput(f"{kind.name}: {which}: {said(found)}")
