"""Stores and workloads by name: `name[:variant][{key=value,…}]`, checked against the catalogue.

The canonical form of a store's name is its key in every table.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from harness.domain.errors import BadInput
from harness.domain.store import StoreKind
from harness.domain.workload import Catalogue
from harness.scenario.problems import expectation
from harness.scenario.wording import did_you_mean, shown

_NAME = re.compile(
    r"(?P<name>[a-z0-9_]+)(?::(?P<variant>[a-z0-9-]+))?(?:\{(?P<options>[^{}]*)\})?", re.ASCII
)
EVERY_STORE = "all"
"""What `--stores` calls every variant."""
_ELSEWHERE = "; to use your own, install its package in the lab's environment"


@dataclass(frozen=True, slots=True)
class StoreRef:
    """A store variant with its options. `explicit` holds only options that differ from defaults."""

    technology: str
    variant: str = ""
    explicit: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    options: Any = field(default=None, compare=False, repr=False)
    """The validated options model, filled in by the scenario loader."""
    workload: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    """Parameters of the workload that differ on this store, as the scenario gives them."""

    @property
    def key(self) -> str:
        """The canonical form: keys sorted, defaults left out; the workload's own after a `+`."""
        options = f"{{{self.options_text}}}" if self.explicit else ""
        return "+".join([self.design + options, *_differing(self.workload)])

    @property
    def alone(self) -> StoreRef:
        """The store, whatever its clients do."""
        return replace(self, workload=MappingProxyType({}))

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


def without_workload(key: str) -> str:
    """A key without the parameters of a workload; a `+` inside braces belongs to options."""
    return re.split(r"\+(?![^{]*\})", key, maxsplit=1)[0]


def split_store_list(text: str) -> list[str]:
    """A comma-separated list of store names; commas inside braces belong to options."""
    return [part.strip() for part in re.split(r",(?![^{]*\})", text) if part.strip()]


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
        raise BadInput(f"{text!r} has options in its name and next to it; expected one of the two")
    if not options:
        return store_named(text, catalogue)
    kind = _kind(technology, variant, catalogue)
    _refuse_unknown_options(kind, options)
    try:
        return _ref(kind, variant, kind.options.model_validate(dict(options)).model_dump())
    except ValidationError as error:
        raise _option_wrong(kind, error) from None


def chosen(
    text: str,
    catalogue: Catalogue,
    *,
    flag: str = "--stores",
    own: Mapping[str, StoreRef] = MappingProxyType({}),
) -> list[StoreRef]:
    """The stores that a flag names, at least one and each once. Raises `BadInput` with the flag.

    `all` is every variant of every technology that keeps events. `own` are a scenario's entries
    that no name can spell, by their keys.
    """
    if text.strip() == EVERY_STORE:
        return every_store(catalogue)
    refs: list[StoreRef] = []
    for name in split_store_list(text):
        try:
            refs.append(own.get(name) or store_named(name, catalogue))
            refuse_twice(refs)
        except BadInput as error:
            spelt = f"; the scenario also has {', '.join(own)}" if own and "+" in name else ""
            raise BadInput(f"{flag}: {error.message}{spelt}") from None
    if not refs:
        raise BadInput(f"{flag}: expected names, for example postgres,sqlite")
    return refs


def every_store(catalogue: Catalogue) -> list[StoreRef]:
    """Every variant that keeps events, by technology, with its default options."""
    return [
        _ref(kind, variant, kind.options().model_dump())
        for kind in catalogue.stores.values()
        for variant, adapter in kind.variants.items()
        if adapter.declares(kind.options()).readable
    ]


def refuse_twice(refs: Sequence[StoreRef]) -> None:
    """Raises `BadInput` where the last of the stores is among those before it."""
    if refs[-1].key in [ref.key for ref in refs[:-1]]:
        raise BadInput(f"{refs[-1].key} is given twice")


def unknown_workload(name: str, catalogue: Catalogue) -> str:
    """The message for a workload that the catalogue does not have."""
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
    if variant in kind.renamed:
        now = StoreRef(technology, kind.renamed[variant]).design
        raise BadInput(f"{technology}:{variant} is called {now} now")
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
    first = error.errors(include_url=False)[0]
    which = f"option {first['loc'][0]}" if first["loc"] else "options"
    return BadInput(f"{kind.name}: {which}: {expectation(first)}")


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


def _differing(parameters: Mapping[str, Any]) -> list[str]:
    """A word speaks for itself: `saga`; any other value has its name: `capacity=5`."""
    return [
        value if isinstance(value, str) else f"{name}={json.dumps(value)}"
        for name, value in sorted(parameters.items())
    ]


def _spell(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
