"""One child process of the lab, away from its terminal and its secrets."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

import psutil

from harness.servers.place import Place


class Child:
    """A command in a place's home, run by its account, printing to its log.

    It leads a session of its own: ctrl-C is for the lab, which then stops it in order.
    Raises `OSError` where it can't be run.
    """

    def __init__(self, command: Sequence[str], place: Place) -> None:
        account = place.account
        with place.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=place.home,
                env=clean_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
        self.pid = self._process.pid
        self.root = psutil.Process(self.pid)
        """The process by pid and birth, so that a later one with the same pid is not meant."""

    def poll(self) -> int | None:
        """Its exit code, or `None` while it runs. Reaps it."""
        return self._process.poll()


def clean_environment() -> dict[str, str]:
    """The lab's own, without what would bend a server (`PGHOST`) or give away a password."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "ESLAB_"))}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}
