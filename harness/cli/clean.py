"""`eslab clean`: what killed runs left behind, listed and removed."""

from __future__ import annotations

import json as json_
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.shared import RESULTS, Json, Out, awaited, catalogue
from harness.domain.errors import BadInput, LabError, NoServer, StoreError

if TYPE_CHECKING:
    from harness.run.leftovers import Leftover

_DAY_S = 24 * 3600.0


def clean(
    yes: Annotated[bool, typer.Option("--yes", help="Remove what is listed for removal.")] = False,
    other_machines_after: Annotated[
        float, typer.Option(help="Days after which a run of another machine has surely ended.")
    ] = 7.0,
    out: Out = RESULTS,
    json: Json = False,
) -> None:
    """List what killed runs left on your servers and on this machine; remove it with --yes.

    Servers are those that ESLAB_… variables name. What a running process of this machine uses
    stays, and so does what another machine made, until it is old.
    """
    if not other_machines_after > 0:
        raise BadInput(f"--other-machines-after {other_machines_after:g}: expected days above 0")
    raise typer.Exit(awaited(_clean(yes, other_machines_after * _DAY_S, out, json=json)))


_STAYS, _WAITS, _REMOVED, _NOT_REMOVED = "stays", "to be removed", "removed", "not removed"
"""What becomes of a leftover; `reason` says why it stays or was not removed."""


async def _clean(yes: bool, others_s: float, out: Any, *, json: bool) -> int:
    from harness.run import leftovers

    silent: list[str] = []
    found = leftovers.on_disk(out)
    found += await leftovers.on_servers(catalogue().stores, silent.append)
    # Before the folders: a container may hold the disk in one of them.
    of_engine = [_project(name, remove=yes) for name in leftovers.projects()]
    rows = [await _row(each, others_s, remove=yes) for each in found] + of_engine
    if json:
        print(json_.dumps({"found": rows, "not_asked": silent}, indent=2))
    else:
        _print(rows, silent)
    if any(row["state"] == _NOT_REMOVED for row in rows):
        return LabError.exit_code
    return NoServer.exit_code if silent else 0


async def _row(each: Leftover, others_s: float, *, remove: bool) -> dict[str, str]:
    state, reason = _WAITS, each.state(others_s)
    if reason:
        state = _STAYS
    elif remove:
        reason = await _removal(each)
        state = _NOT_REMOVED if reason else _REMOVED
    return {"where": each.where, "name": each.name, "state": state, "reason": reason}


async def _removal(each: Leftover) -> str:
    """Remove it; why that failed, in one line, or empty."""
    try:
        await each.remove()
    except FileNotFoundError:
        return ""
    except (LabError, StoreError, OSError) as error:
        return " ".join(str(error).split())
    return ""


def _project(name: str, *, remove: bool) -> dict[str, str]:
    from harness.servers.docker import stack

    if remove:
        stack.remove(name)
    state = _REMOVED if remove else _WAITS
    return {"where": "docker", "name": name, "state": state, "reason": ""}


def _print(rows: list[dict[str, str]], silent: list[str]) -> None:
    for row in rows:
        state = ": ".join(filter(None, (row["state"], row["reason"])))
        print(f"{row['where']:<14}{row['name']}  {state}")
    for line in silent:
        print(f"not asked: {line}")
    waiting = sum(row["state"] == _WAITS for row in rows)
    if waiting:
        print(f"{waiting} to be removed: eslab clean --yes")
    elif not any(row["state"] == _REMOVED for row in rows):
        print("nothing to remove")
