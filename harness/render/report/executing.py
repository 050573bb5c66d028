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
    """Runs all notebooks at once, because most of the time goes to the start of the kernels."""
    with temporary_folder() as scratch:
        running = [_one(path, run, scratch) for path in paths]
        ended = await asyncio.gather(*running, return_exceptions=True)
    for failure in ended:
        if isinstance(failure, BaseException):
            raise failure
    return {path.stem: notebook for path, notebook in zip(paths, ended, strict=True)}


async def _one(path: Path, run: Path, scratch: Path) -> Any:
    notebook = _read(path)
    manager = AsyncKernelManager(
        kernel_spec_manager=_ThisPython(),
        connection_file=str(scratch / f"{path.stem}.json"),
        transport=_TRANSPORT,
    )
    client = NotebookClient(
        notebook, km=manager, timeout=CELL_LIMIT_S, resources={"metadata": {"path": str(scratch)}}
    )
    try:
        await client.async_execute(
            cleanup_kc=True, env=_environment(run), stdout=DEVNULL, stderr=DEVNULL
        )
    except CellExecutionError as error:
        raise _failed(path, error) from error
    except asyncio.CancelledError:
        await manager.shutdown_kernel(now=True)  # the client leaves one that was just starting
        raise
    except (CellTimeoutError, DeadKernelError) as error:
        raise LabError(f"{path.name}: {str(error).splitlines()[0]}") from error
    return notebook


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
