"""What the command line changes of a scenario file: `--stores`, `--set`, `--repeat`, `--fault`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.domain.errors import BadInput
from harness.domain.server import ServerSettings
from harness.scenario.expansion import applied, as_text
from harness.scenario.faults import written
from harness.scenario.model import DURATION_S
from harness.scenario.text import Document, Path_, parse
from harness.scenario.wording import did_you_mean

_RIVALS = (
    ("operations", "duration_s"), ("duration_s", "operations"),
    ("load.open", "load.closed"), ("load.closed", "load.open"),
)  # fmt: skip
"""Setting the first, or something in it, removes the second, unless that is set as well."""


@dataclass(frozen=True, slots=True)
class Overrides:
    """What the command line changes of a file.

    `settings` are `dotted.name=value`. A setting ends what the file varies under that name, inside
    it or around it, and what it excludes (`operations` ends `duration_s`).
    """

    stores: str | None = None
    settings: Sequence[str] = ()
    repeat: int | None = None
    stores_flag: str = "--stores"
    """What the user wrote the stores after: messages name it."""
    faults: Sequence[str] = ()
    """In words, after those of the file. A trial that would be over before is made longer."""


def overridden(document: Document, overrides: Overrides) -> Document:
    """The document with the flags applied; an error in a value that a flag set names the flag."""
    given = _settings(overrides.settings)
    flags = {text.partition("=")[0]: f"--set {text}" for text in overrides.settings}
    if overrides.repeat is not None:
        given["repetitions"] = overrides.repeat
        flags["repetitions"] = f"--repeat {overrides.repeat}"
    ended = [rival for name, rival in _RIVALS if _touches(name, given)]
    ended = [name for name in ended if not _touches(name, given)]
    content = applied(_without(document.content, ended), given)
    if isinstance(content.get("vary"), dict):
        content["vary"] = {
            name: values
            for name, values in content["vary"].items()
            if not _touches(name, given) and not _touches(name, ended)
        }
    places = {path: place for path, place in document.places.items() if not _set(path, given)}
    _add_faults(content, overrides.faults, flags, keep_length="duration_s" in given)
    return replace(document, content=content, places=places, flags=flags)


_AFTER_FAULTS_S = 3.0
"""How long a trial goes on at least after the last fault of the command line."""


def _add_faults(
    content: dict[str, Any], lines: Sequence[str], flags: dict[str, str], *, keep_length: bool
) -> None:
    """Each line as an entry of `faults`; `flags` learns which entry came from which line."""
    faults = content.get("faults", [])
    if not lines or not isinstance(faults, list):
        return
    content["faults"] = faults = list(faults)
    ends_s = [0.0]
    for line in lines:
        flag = f"--fault {line!r}"
        try:
            entry = written(line)
        except BadInput as error:
            raise BadInput(f"{flag}: {error.message}") from None
        flags[f"faults.{len(faults)}"] = flag
        faults.append(entry)
        ends_s.append(entry["at_s"] + entry.get("for_s", entry.get("back_after_s", 0.0)))
    length_s = content.get("duration_s", DURATION_S)
    needed_s = max(ends_s) + _AFTER_FAULTS_S
    if "operations" in content or keep_length or not isinstance(length_s, int | float):
        return
    if length_s < needed_s:
        content["duration_s"] = needed_s


def server_settings(
    given: Sequence[str], known: Mapping[str, ServerSettings]
) -> dict[str, dict[str, str]]:
    """By server, what pairs `servers.SERVER.SETTING=VALUE` ask for; other names are refused.

    Raises `BadInput` that names the pair.
    """
    asked: dict[str, dict[str, str]] = {}
    for text in given:
        for name, value in _settings([text]).items():
            place, _, rest = name.partition(".")
            server, _, setting = rest.partition(".")
            if place != "servers" or not setting:
                example = "servers.dynamodb.storage=file"
                raise BadInput(f"--set {text}: expected a server's setting, for example {example}")
            if server not in known:
                hint = did_you_mean(server, known)
                raise BadInput(f"--set {text}: no server {server!r}{hint}")
            if fault := known[server].fault(setting, as_text(value)):
                raise BadInput(f"--set {text}: {fault}")
            asked.setdefault(server, {})[setting] = as_text(value)
    return asked


def _settings(given: Sequence[str]) -> dict[str, Any]:
    """`name=value` pairs, each value read as YAML. Raises `BadInput` that names the pair."""
    values: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not all(part for part in name.split(".")):
            raise BadInput(f"--set {text}: expected name=value, for example load.closed.workers=8")
        try:
            values[name] = parse(value, "--set").content if value.strip() else ""
        except BadInput as error:
            raise BadInput(f"--set {text}: {error.message}") from None
    return values


def _without(content: Mapping[str, Any], ended: Iterable[str]) -> dict[str, Any]:
    kept = dict(content)
    for head, _, inner in (name.partition(".") for name in ended):
        if not inner:
            kept.pop(head, None)
        elif isinstance(kept.get(head), dict):
            kept[head] = {name: value for name, value in kept[head].items() if name != inner}
    return kept


def _touches(name: str, others: Iterable[str]) -> bool:
    """Whether one of the others is this name, inside it, or around it."""
    return any(f"{name}.".startswith(f"{other}.") or other.startswith(f"{name}.")
               for other in others)  # fmt: skip


def _set(path: Path_, given: Mapping[str, Any]) -> bool:
    return ".".join(map(str, path)) in given
