"""Executes notebooks with nbclient in kernels of this Python, from any working directory."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from harness import results
from harness.analysis import trends
from harness.domain.cancellation import awaited
from harness.domain.errors import BadInput, LabError, Refused
from harness.domain.temporary import temporary_folder

CELL_LIMIT_S = 600
_TRANSPORT = "tcp" if os.name == "nt" else "ipc"
"""Sockets in a private folder: no port is open to others."""
_FORGET = "get_ipython().reset()"
"""The names that cells have made, and their numbers."""
_SOURCE = str(Path(__file__).parents[3])
_KINDS = {kind.__name__: kind for kind in (BadInput, Refused)}
"""Errors of the lab about a notebook's input, by the names that kernels report."""


class _Loop(asyncio.SelectorEventLoop):
    """Leaves signals to the lab; a notebook's client would end its kernel and go on."""

    def add_signal_handler(self, sig: int, *_: object) -> None:
        """Raises `RuntimeError`, as where signals cannot be handled."""
        raise RuntimeError(f"signal {sig} is the lab's")


class _ThisPython(KernelSpecManager):
    """Always uses the lab's own Python, whichever kernels the user has installed."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=command, display_name=kernel_name, language="python")


def require_inputs(run: Path) -> None:
    """Raises `BadInput` for a history or another run that the notebooks cannot read.

    The history may be missing. Notebooks take half a minute: none is executed in vain.
    """
    path = _history(run)
    if path.is_file():
        trends.read(path)
    for other in _others():
        results.load(other)


def executed(paths: Sequence[Path], run: Path) -> dict[str, Any]:
    """The executed notebooks by name.

    Raises `BadInput` or `Refused` if a notebook fails with that error, otherwise `LabError`.
    """
    return awaited(_all(paths, run), loop_factory=_Loop)


async def _all(paths: Sequence[Path], run: Path) -> dict[str, Any]:
    """A kernel a core runs them: most of the time goes to what a kernel imports."""
    kernels = min(len(paths), os.cpu_count() or 1)
    with temporary_folder() as scratch:
        running = [_in_one_kernel(paths[first::kernels], run, scratch) for first in range(kernels)]
        ended = await asyncio.gather(*running, return_exceptions=True)
    found: dict[Path, Any] = {}
    for some in ended:
        if isinstance(some, BaseException):
            raise some
        found |= some
    return {path.stem: found[path] for path in paths}


async def _in_one_kernel(paths: Sequence[Path], run: Path, scratch: Path) -> dict[Path, Any]:
    """One after the other, each without the names that the one before it has made."""
    notebooks = {path: _read(path) for path in paths}
    manager = AsyncKernelManager(
        kernel_spec_manager=_ThisPython(),
        connection_file=str(scratch / f"{paths[0].stem}.json"),
        transport=_TRANSPORT,
    )
    first = NotebookClient(notebooks[paths[0]], km=manager, resources=_placed(scratch))
    started: dict[str, Any] = {"env": _environment(run), "stdout": DEVNULL, "stderr": DEVNULL}
    try:
        async with first.async_setup_kernel(cleanup_kc=True, **started):
            for path, notebook in notebooks.items():
                await _one(path, notebook, first, scratch)
    except asyncio.CancelledError:
        await manager.shutdown_kernel(now=True)  # the client leaves one that was just starting
        raise
    return notebooks


async def _one(path: Path, notebook: Any, started: NotebookClient, scratch: Path) -> None:
    """Executed in the kernel of a client that has started it, which forgets its names then."""
    client = NotebookClient(
        notebook, km=started.km, timeout=CELL_LIMIT_S, resources=_placed(scratch)
    )
    channels: Any = started.kc
    client.kc = channels
    try:
        await client.async_execute(cleanup_kc=False)
        await channels.execute(_FORGET, silent=True, reply=True, timeout=CELL_LIMIT_S)
    except CellExecutionError as error:
        raise _failed(path, error) from error
    except (CellTimeoutError, DeadKernelError) as error:
        raise LabError(f"{path.name}: {str(error).splitlines()[0]}") from error


def _placed(scratch: Path) -> dict[str, Any]:
    return {"metadata": {"path": str(scratch)}}


def _failed(path: Path, error: CellExecutionError) -> LabError:
    kind = _KINDS.get(error.ename)
    if kind is not None:
        return kind(f"{path.name}: {error.evalue}")
    return LabError(f"{path.name}: a cell failed: {error.ename}: {error.evalue}")


def _read(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    return nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]


def _environment(run: Path) -> dict[str, str]:
    """The kernel's environment: an importable lab, absolute paths, no windows for figures."""
    inherited = os.environ.get("PYTHONPATH")
    source = os.pathsep.join(filter(None, [_SOURCE, inherited]))
    return {**os.environ, "RUN": str(run), "HISTORY": str(_history(run)),
            "OTHERS": os.pathsep.join(map(str, _others())),
            "PYTHONPATH": source, "MPLBACKEND": "agg",
            "PYDEVD_DISABLE_FILE_VALIDATION": "1"}  # fmt: skip


def _others() -> list[Path]:
    """The runs that `OTHERS` names. Raises `BadInput` for a path that a list cannot hold."""
    names = filter(None, os.environ.get("OTHERS", "").split(os.pathsep))
    paths = [Path(name).resolve() for name in names]
    for path in paths:
        if os.pathsep in str(path):
            raise BadInput(f"OTHERS: {path}: its path has a {os.pathsep!r}, which ends a name here")
    return paths


def _history(run: Path) -> Path:
    """The history that `HISTORY` names, otherwise the one next to the run."""
    return Path(os.environ.get("HISTORY") or run.parent / "history.csv").resolve()
