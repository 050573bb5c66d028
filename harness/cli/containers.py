"""`eslab up` and `eslab down`: the lab's servers as containers, all of them."""

from __future__ import annotations

import json as json_
import sys

from harness.cli.shared import Json
from harness.domain.errors import NoServer


def up(json: Json = False) -> None:
    """Bring the servers up as containers; the only command that pulls images."""
    from rich.console import Console

    from harness.domain.cancellation import awaited
    from harness.servers.docker import stack

    with Console(stderr=json).status("bringing the servers up"):
        addresses = awaited(stack.up())
    if json:
        print(json_.dumps(addresses, indent=2))
        return
    for service, address in addresses.items():
        print(f"{service:<14}{address}")
    print("ready: eslab run … --servers docker")


def down(json: Json = False) -> None:
    """Remove those containers with their data, and what runs that ended early left behind."""
    from harness.servers.docker import stack
    from harness.servers.native import left_behind

    removed = left_behind.clear()
    try:
        removed += stack.down()
    except NoServer as error:
        print(f"eslab: no containers are removed: {error}", file=sys.stderr)
    if json:
        print(json_.dumps(removed))
        return
    print(f"removed: {', '.join(removed)}" if removed else "nothing to remove")
