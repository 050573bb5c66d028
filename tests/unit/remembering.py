"""A stand-in that remembers what faults did to it, for what no real server does on request."""

from __future__ import annotations

import asyncio

from harness.domain.faults import FaultKind
from harness.domain.server import UnsupportedByServer

NEVER_MOUNTED = "the lab may not mount a disk here"


class Remembering:
    """Stands for a server and for the way to it, and remembers what was done to them."""

    controllable = True

    def __init__(self, *fails: str, unsupported: str = "", takes_s: float = 0.0) -> None:
        self.done: list[str] = []
        self._fails, self._unsupported, self._takes_s = fails, unsupported, takes_s

    endpoint = ""

    def why_not(self, kind: FaultKind) -> str:
        return NEVER_MOUNTED if kind.of_the_disk else ""

    def __getattr__(self, name: str):
        async def act(*arguments: float) -> int:
            if name == "connections":
                return len(self.done)
            self.done.append(" ".join(map(str, (name, *arguments))))
            if name == self._unsupported:
                raise UnsupportedByServer("not with this kernel")
            if name in self._fails:
                raise OSError("it is gone")
            if name == "restart":
                await asyncio.sleep(self._takes_s)
            return 0

        return act
