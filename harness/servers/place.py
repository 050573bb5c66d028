"""The folders of one native server: made for it, its own, and removed with it."""

from __future__ import annotations

import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness.servers.account import Account, can_reach

SOCKET_PATH_BYTES_MAX = 107
"""What the kernel takes as a unix socket's path."""
_SOCKET_NAME_BYTES_MAX = 24
_SAMPLE_NAME = "technology-0123456789abcdef"
_SHARED_TEMPORARY = Path("/", "tmp")
"""Where a private `TMPDIR` is closed to the server's account, or too long."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one server keeps its files, and who they belong to."""

    home: Path
    sockets: Path
    """Short enough for a unix socket in it; inside `home` where that is short enough."""
    account: Account | None

    @property
    def data(self) -> Path:
        """The data folder; the server's own preparation makes it."""
        return self.home / "data"

    @property
    def log(self) -> Path:
        """Everything that the server prints."""
        return self.home / "server.log"

    @property
    def folders(self) -> tuple[Path, ...]:
        """What has to be removed in the end."""
        return tuple(dict.fromkeys((self.home, self.sockets)))

    def make(self) -> None:
        """Make the folders, private to the account. Raises `OSError`."""
        self.home.parent.mkdir(parents=True, exist_ok=True)
        for folder in self.folders:
            folder.mkdir(mode=0o700)
            if self.account is not None:
                os.chown(folder, self.account.uid, self.account.gid)


def choose_place(technology: str, *, scratch: Path, account: Account | None) -> Place:
    """Names under `scratch`, or under the temporary folder where `account` can't reach it.

    Nothing is made yet, so that a guardian can be told first what to remove, and no mode of a
    folder that is not the server's own is ever changed. Raises `OSError`.
    """
    name = f"{technology}-{secrets.token_hex(8)}"
    home = _root(scratch, account) / name
    return Place(home, home if _fits(home) else _short(account) / name, account)


def _root(scratch: Path, account: Account | None) -> Path:
    candidates = (scratch.resolve(), Path(tempfile.gettempdir()), _SHARED_TEMPORARY)
    for candidate in candidates:
        if can_reach(account, candidate):
            return candidate
    raise PermissionError(
        f"the server's account can reach none of {', '.join(map(str, candidates))}"
    )


def _short(account: Account | None) -> Path:
    for root in (Path(tempfile.gettempdir()), _SHARED_TEMPORARY):
        if _fits(root / _SAMPLE_NAME) and can_reach(account, root):
            return root
    raise OSError(f"no folder is short enough for a unix socket ({SOCKET_PATH_BYTES_MAX} bytes)")


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder)) + 1 + _SOCKET_NAME_BYTES_MAX <= SOCKET_PATH_BYTES_MAX
