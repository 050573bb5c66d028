"""The lab's end of a guardian: what it is told, and when it may do its work."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.servers.place import Place
from harness.servers.spawn import clean_environment

_LOG = logging.getLogger(__name__)
_SCRIPT = Path(__file__).with_name("guardian.py")
_FINISH_LIMIT_S = 30.0
_POLL_S = 0.005


class Guard:
    """One guardian process. From its start on, the folders of `place` go when the lab goes.

    Raises `OSError` where it can't be run.
    """

    def __init__(self, place: Place) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_SCRIPT)],
            stdin=subprocess.PIPE,
            bufsize=0,  # so that closing has nothing left to write to a guardian that has gone
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=clean_environment(),
            start_new_session=True,
        )
        self._account = place.account
        self._tell(folders=[str(folder) for folder in place.folders])

    def watch(self, pid: int, ending: signal.Signals) -> None:
        """From now on the tree of `pid` goes too, first asked by that signal."""
        self._tell(process=pid, signal=ending.value)

    def tidy_with(self, command: Sequence[str]) -> None:
        """From now on this command runs too, as the server's account, when its tree has gone."""
        uid = self._account.uid if self._account else None
        gid = self._account.gid if self._account else None
        self._tell(tidy=list(command), uid=uid, gid=gid)

    async def finish(self) -> None:
        """Let the guardian do now what it would do if the lab had crashed, and wait for it."""
        self._tell(finish=True)
        assert self._process.stdin is not None
        self._process.stdin.close()
        for _ in range(round(_FINISH_LIMIT_S / _POLL_S)):
            if self._process.poll() is not None:
                return
            await asyncio.sleep(_POLL_S)
        self._process.kill()
        self._process.wait()

    def _tell(self, **facts: object) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(facts).encode() + b"\n")
        except BrokenPipeError:
            _LOG.warning("the guardian has gone: if the lab is killed, its server stays behind")
