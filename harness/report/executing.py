"""Notebooks run by nbclient in kernels of this very Python, wherever the lab was started."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from harness import trends
from harness.errors import BadInput, LabError, Refused

CELL_LIMIT_S = 600
_TRANSPORT = "tcp" if os.name == "nt" else "ipc"
"""Sockets in a folder of our own: no port that others could reach."""
_SOURCE = str(Path(__file__).parents[2])
_KINDS = {kind.__name__: kind for kind in (BadInput, Refused)}
"""Errors of the lab that are about what a notebook was given, by the names that kernels tell."""


class _ThisPython(KernelSpecManager):
    """Whatever kernels the user has installed: the one that runs is the lab's own Python."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=command, display_name=kernel_name, language="python")


def require_history(run: Path) -> None:
    """Raises `BadInput` for a history that the notebooks could not read; there need be none."""
    path = _history(run)
    if path.is_file():
        trends.read(path)


def executed(paths: Sequence[Path], run: Path) -> dict[str, Any]:
    """The notebooks executed on this run, by name.

    Raises `LabError` for one that fails, `BadInput` or `Refused` where it failed with that.
    """
    return asyncio.run(_all(paths, run))


async def _all(paths: Sequence[Path], run: Path) -> dict[str, Any]:
    """At the same time: most of the wait is the start of the kernels."""
    with tempfile.TemporaryDirectory(prefix="eslab-") as scratch:
        running = [_one(path, run, Path(scratch)) for path in paths]
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
        await client.async_execute(cleanup_kc=True, env=_environment(run))
    except CellExecutionError as error:
        raise _failed(path, error) from error
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
    """The lab is importable although the kernel starts elsewhere; no figure opens a window.

    So paths are whole.
    """
    inherited = os.environ.get("PYTHONPATH")
    source = os.pathsep.join(filter(None, [_SOURCE, inherited]))
    others = filter(None, os.environ.get("OTHERS", "").split(os.pathsep))
    return {**os.environ, "RUN": str(run), "HISTORY": str(_history(run)),
            "OTHERS": os.pathsep.join(str(Path(each).resolve()) for each in others),
            "PYTHONPATH": source, "MPLBACKEND": "agg",
            "PYDEVD_DISABLE_FILE_VALIDATION": "1"}  # fmt: skip


def _history(run: Path) -> Path:
    """The one beside the run, if no other is named."""
    return Path(os.environ.get("HISTORY") or run.parent / "history.csv").resolve()
