"""`eslab up` and `eslab down`: the lab's servers as containers, all of them."""

from __future__ import annotations

import asyncio
import json as json_

from rich.console import Console

from harness.servers.docker import whole


def up(*, json: bool) -> None:
    """Pull what is missing, start everything, wait until it is healthy."""
    with Console(stderr=json).status("bringing the servers up"):
        addresses = asyncio.run(whole.up())
    if json:
        print(json_.dumps(addresses, indent=2))
        return
    for service, address in addresses.items():
        print(f"{service:<14}{address}")
    print("ready: eslab run … --servers docker")


def down(*, json: bool) -> None:
    """Remove the containers and their data, also what a run that ended early left."""
    removed = whole.down()
    if json:
        print(json_.dumps(removed))
        return
    print(f"removed: {', '.join(removed)}" if removed else "nothing to remove")
