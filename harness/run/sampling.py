"""CPU, memory and disk of server and generator while a trial runs, read once a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from harness.domain.server import Server, Statistics

PERIOD_S = 1.0
_NOTHING = Statistics(None, None, None)


@dataclass(frozen=True, slots=True)
class Look:
    """Values at a moment of the monotonic clock. CPU counts from the start of the process."""

    at_ns: int
    generator_cpu_s: float
    server: Statistics


@dataclass(slots=True)
class Sampler:
    """Reads in a thread of its own, so that a busy event loop does not delay it."""

    server: Server | None
    looks: list[Look] = field(default_factory=list)
    generator_cpu_s: Callable[[], float] = time.process_time
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, name="eslab-sampler", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        self._look()
        while not self._over.wait(PERIOD_S):
            self._look()
        self._look()

    def _look(self) -> None:
        statistics = self.server.statistics() if self.server else _NOTHING
        self.looks.append(Look(time.monotonic_ns(), self.generator_cpu_s(), statistics))
