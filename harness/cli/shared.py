"""What several commands share: options, and what they need before they can begin."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Coroutine
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from harness.domain.errors import MissingExtra

if TYPE_CHECKING:
    import asyncio

    from harness.domain.workload import Catalogue

T = TypeVar("T")

Json = Annotated[bool, typer.Option("--json", help="JSON alone on standard output.")]
Run = Annotated[Path, typer.Argument(help="A run folder, results/<run>.")]
Files = Annotated[list[Path], typer.Argument(help="Scenario files.", metavar="FILE…")]
Out = Annotated[Path, typer.Option(help="Where run folders go.")]
Servers = Annotated[
    str, typer.Option(help="Where servers come from: auto, external, docker, native, mixed.")
]
RESULTS = Path("results")

Scenario = Annotated[Path, typer.Argument(help="A scenario file.", metavar="SCENARIO")]
Stores = Annotated[str, typer.Option(help="Only these stores of the scenario.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="Override a value, as in `eslab run`.")
]
Margins = Annotated[
    list[str] | None,
    typer.Option("--margin", help="What is no change: 'throughput=5% p50=10% wal=1%'."),
]
Mixed = Annotated[
    bool,
    typer.Option("--allow-mixed-durability", help="Compare across durability classes, labelled."),
]
BaseRef = Annotated[str, typer.Option(help="A commit of the project to compare with.")]
CandidateRef = Annotated[str, typer.Option(help="Another; the project as it stands if left out.")]
Project = Annotated[Path, typer.Option(help="A checkout of the lab, or of an adapter's package.")]
PairsServers = Annotated[str, typer.Option(help="Where servers come from, as in `eslab run`.")]
PairsPlan = Annotated[bool, typer.Option("--dry-run", help="Print the pairs, run none.")]
HERE = Path()


def require_tables() -> None:
    """Raise `MissingExtra` where pandas is not installed."""
    if find_spec("pandas") is None:
        raise MissingExtra("tables need pandas; pip install 'eventstore-lab[notebooks]'")


def require_statistics() -> None:
    """Raise `MissingExtra` where pandas or scipy is not installed."""
    missing = [name for name in ("pandas", "scipy") if find_spec(name) is None]
    if missing:
        needed = " and ".join(missing)
        raise MissingExtra(f"comparing needs {needed}; pip install 'eventstore-lab[notebooks]'")


def catalogue() -> Catalogue:
    """Every store and workload that can be found, and what servers may be set to."""
    from harness import stores, workloads
    from harness.domain.workload import Catalogue
    from harness.servers import declarable_settings

    return Catalogue(stores.kinds(), workloads.kinds(), declarable_settings())


def command_line() -> str:
    """What was typed, for the manifest."""
    typed = shlex.join(["eslab", *sys.argv[1:]])
    return typed.encode(errors="replace").decode()  # what is no text in the locale


def awaited(coroutine: Coroutine[Any, Any, T]) -> T:
    """What it returns, in uvloop's event loop where that is installed, else in asyncio's own."""
    from harness.domain.cancellation import awaited as run_awaited

    factory: type[asyncio.AbstractEventLoop] | None = None
    with suppress(ImportError):
        from uvloop import Loop

        factory = Loop
    return run_awaited(coroutine, loop_factory=factory)
