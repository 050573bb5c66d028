"""What killed runs left behind: found by its mark, and removed where its run has surely ended."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.domain.errors import LabError, NoServer, StoreError
from harness.domain.factory import StoreFactory
from harness.domain.marks import PREFIX, Mark
from harness.domain.store import Endpoint, Lists, StoreKind
from harness.domain.temporary import TEMPORARY
from harness.servers import TECHNOLOGIES
from harness.servers.docker import stack
from harness.servers.native import guardian, maven

SCRATCH = ".scratch-"
"""What the folder of a run's own files begins with; a mark follows."""
OTHERS_S = 7 * 24 * 3600.0
"""A run of another machine cannot be seen from here: after a week it has surely ended."""
_GUARDED_S = 60.0
"""For so long after its end, a run's folder is its guardian's to remove, after its servers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """A thing that a run made."""

    where: str
    """The technology of its server, or `disk`."""
    name: str
    mark: Mark | None
    remove: Callable[[], Coroutine[Any, Any, None]]
    being_removed: bool = False

    def state(self, others_s: float = OTHERS_S) -> str:
        """Why it stays, in a few words; empty for what is to be removed."""
        if self.mark is None:
            return "has no mark, so nobody knows whose it is"
        if self.mark.is_of_this_machine:
            if self.mark.lives:
                return f"in use by process {self.mark.pid}"
            return "its guardian removes it now" if self.being_removed else ""
        if self.mark.age_s < others_s:
            return f"of another machine, {_age(self.mark.age_s)} old"
        return ""


def _age(age_s: float) -> str:
    hours = age_s / 3600
    return f"{hours:.0f} h" if hours >= 1 else f"{max(age_s, 0) / 60:.0f} min"


async def on_server(kind: StoreKind, endpoint: Endpoint) -> list[Leftover]:
    """The namespaces of labs on a server. Raises `StoreError` or `NoServer` if it does not tell."""
    first = next(iter(kind.variants.values()))
    how = StoreFactory(first, replace(endpoint, namespace=f"{PREFIX}clean"), kind.options())
    async with how.opened() as store:
        names = await store.namespaces() if isinstance(store, Lists) else ()

    def removal(name: str) -> Callable[[], Coroutine[Any, Any, None]]:
        async def remove() -> None:
            async with how.in_namespace(name).opened() as store:
                await store.teardown()

        return remove

    return [
        Leftover(where=kind.name, name=name, mark=Mark.found_in(name), remove=removal(name))
        for name in names
    ]


async def on_servers(kinds: Mapping[str, StoreKind], note: Callable[[str], None]) -> list[Leftover]:
    """Those on every server whose address is in a variable; a note for one that does not tell."""
    found: list[Leftover] = []
    for kind in kinds.values():
        way = TECHNOLOGIES[kind.server].external if kind.server else None
        if way is None or not way.named or kind.missing_driver():
            continue
        try:
            found += await on_server(kind, way.server(scratch=Path(), settings={}).endpoint)
        except (LabError, StoreError) as error:
            note(f"{kind.name}: {way.variable}: {str(error).removeprefix(f'{kind.name}: ')}")
    return found


def on_disk(out: Path) -> list[Leftover]:
    """Folders of runs in `out`, in the temporary folder, and caches that were not fetched whole."""
    places = {out: SCRATCH, Path(tempfile.gettempdir()): TEMPORARY}
    with suppress(NoServer):  # an account without a home keeps no jars
        places[maven.cache_folder()] = "."
    return [
        Leftover(
            where="disk",
            name=str(path),
            mark=mark,
            remove=lambda path=path: _remove(path),  # type: ignore[misc]
            being_removed=_is_guarded(path),
        )
        for folder, begins in places.items()
        for path in _folders(folder)
        if path.name.startswith(begins) and (mark := Mark.found_in(path.name)) is not None
    ]


def projects() -> list[str]:
    """Compose projects of runs that have ended; none where no engine runs."""
    with suppress(NoServer):
        return stack.left_behind()
    return []


def _folders(folder: Path) -> Iterator[Path]:
    with suppress(OSError):
        for path in sorted(folder.iterdir()):
            if path.is_dir() and not path.is_symlink():
                yield path


def _is_guarded(path: Path) -> bool:
    """Whether a server's folder in it may still wait for its guardian."""
    with suppress(OSError):
        newest = max((each.stat().st_mtime for each in path.glob("*/server.log")), default=0.0)
        return time.time() - newest < _GUARDED_S
    return False


async def _remove(path: Path) -> None:
    _unmount_and_remove(path)


def _unmount_and_remove(path: Path) -> None:
    if not path.is_symlink():
        guardian.unmount(str(path))
    shutil.rmtree(path)
