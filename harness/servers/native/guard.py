"""The lab's end of a guardian: what to remove and end, and when."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness.domain.errors import NoServer
from harness.servers.local import clean_environment
from harness.servers.native.left_behind import new_record
from harness.servers.native.place import Account

_TAIL_BYTES = 64 * 1024
_TELLING = (
    re.compile(r"no space left|address already in use|permission denied|too long", re.I),
    re.compile(r"\b(fatal|panic)\b", re.I),
    re.compile(r"\berror\b|exception\b|could not|cannot\b", re.I),
    re.compile(r"\S"),
)


def telling_line(log: Path) -> str:
    """The last line of the most telling kind, or an empty string for an empty log."""
    lines = _tail(log)
    for pattern in _TELLING:
        for line in reversed(lines):
            if pattern.search(line):
                return line.strip()
    return ""


def keep(log: Path, technology: str) -> Path | None:
    """Copy a log out of a folder that is about to be removed; `None` if that cannot be done."""
    try:
        with log.open("rb") as source:
            handle, kept = tempfile.mkstemp(prefix=f"eslab-{technology}-failed-", suffix=".log")
            with os.fdopen(handle, "wb") as target:
                shutil.copyfileobj(source, target)
    except OSError:
        return None
    return Path(kept)


def _tail(log: Path) -> list[str]:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            return file.read().decode(errors="replace").splitlines()
    except OSError:
        return []


_LOG = logging.getLogger(__name__)
_SCRIPT = Path(__file__).with_name("guardian.py")
_FINISH_LIMIT_S = 30.0
_POLL_S = 0.005


def require_guardian() -> None:
    """Raises `NoServer` where this account cannot start the lab's Python once more."""
    if not os.access(sys.executable, os.X_OK):
        raise NoServer(
            f"this account may not run {sys.executable}, which may be a link into a closed folder: "
            "install the lab where the account can reach all of it"
        )


class Guard:
    """One guardian process. From its start on, it removes these folders when the lab ends.

    `environment` is that of the command it may tidy with. Raises `OSError` where it can't be run.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        account: Account | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_SCRIPT)],
            stdin=subprocess.PIPE,
            bufsize=0,  # so that closing does not write to a guardian that has ended
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=environment or clean_environment(),
            start_new_session=True,
        )
        self._account = account
        self._tell(folders=[str(folder.absolute()) for folder in folders])
        record = new_record()
        if record is not None:
            self._tell(record=str(record))

    def watch(self, pid: int, ending: signal.Signals) -> None:
        """From now on, also end the process tree of `pid`, at first by that signal."""
        self._tell(process=pid, signal=ending.value)

    def tidy_with(self, command: Sequence[str]) -> None:
        """From now on, also run this command as the server's account when the tree has ended."""
        uid = self._account.uid if self._account else None
        gid = self._account.gid if self._account else None
        self._tell(tidy=list(command), uid=uid, gid=gid)

    async def finish(self) -> None:
        """Let the guardian clean up now, as after a crash of the lab, and wait for it."""
        self._dismiss()
        for _ in range(round(_FINISH_LIMIT_S / _POLL_S)):
            if self._process.poll() is not None:
                return
            await asyncio.sleep(_POLL_S)
        self._process.kill()
        self._process.wait()

    def release(self) -> None:
        """`finish` for a caller that may block."""
        self._dismiss()
        try:
            self._process.wait(_FINISH_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _dismiss(self) -> None:
        self._tell(finish=True)
        assert self._process.stdin is not None
        self._process.stdin.close()

    def _tell(self, **facts: object) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(facts).encode() + b"\n")
        except BrokenPipeError:
            _LOG.warning("the guardian has ended: if the lab is killed, its server keeps running")


@contextmanager
def guarded(folder: Path) -> Iterator[None]:
    """Remove the folder after the block, and also if the lab ends in it, by `kill -9` too."""
    try:
        guard = Guard([folder])
    except OSError:
        guard = None
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if guard is not None:
            guard.release()
