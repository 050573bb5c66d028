"""Runs of two checkouts gathered into one run of pairs."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import results
from harness.domain.errors import Refused
from harness.domain.flags import FlagCode, parsed
from harness.domain.placement import placement_of
from harness.results import RunFolder
from harness.run.checkout_runner import Checkout


class Gathering:
    """A run folder to which finished halves of pairs are added; each is on disk at once."""

    def __init__(
        self, out: Path, name: str, *, command: str, sides: Mapping[str, Checkout]
    ) -> None:
        self.folder = RunFolder.create(out, name)
        self._sides = sides
        self._manifest: dict[str, Any] = {
            "run": self.folder.name,
            "status": "running",
            "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": command,
            "checkouts": {
                side: {"ref": code.name, "commit": code.commit} for side, code in sides.items()
            },
        }
        self._number = 0
        self._flags: list[Any] = []

    def add(self, half: Path, side: str, pair: int) -> list[dict[str, Any]]:
        """The trials of one side of one pair; their rows. Raises `Refused`, `BadInput`."""
        run = results.load(half)
        self._agree(run.manifest, side)
        rows = [
            self._row(row | placement_of(row, run.manifest).cells(), side, pair)
            for row in _plain(run)
        ]
        for row in rows:
            self.folder.add_trial(row)
        self.folder.write_manifest(self._manifest)
        return rows

    def finish(self, status: str, pairs: int) -> Path:
        """Give the folder its final name; returns its path. A folder without trials is removed."""
        if not self._number:
            shutil.rmtree(self.folder.path, ignore_errors=True)
            return self.folder.path
        self._manifest["scenario"]["repetitions"] = pairs
        self._manifest["finished_at"] = datetime.now(UTC).isoformat(timespec="seconds")
        self._manifest |= {"status": status, "flags": self._flags}
        self.folder.write_manifest(self._manifest)
        return self.folder.finish()

    def _agree(self, manifest: Mapping[str, Any], side: str) -> None:
        """The first half determines the offered load; the others must offer the same."""
        for name in ("scenario", "environment", "servers", "places", "left_out", "placement"):
            self._manifest.setdefault(name, manifest.get(name, {}))
        if side == "candidate":
            self._manifest["commit"] = manifest.get("commit", {})
        one, other = (each["scenario"]["hash"] for each in (self._manifest, manifest))
        if one != other:
            names = " and ".join(code.name for code in self._sides.values())
            raise Refused(f"{names} understand the scenario differently: {one[:12]}, {other[:12]}")
        for stored in manifest.get("flags", []):
            own = parsed(stored).code != FlagCode.FEW_REPETITIONS
            if own and stored not in self._flags:
                self._flags.append(stored)

    def _row(self, row: Mapping[str, Any], side: str, pair: int) -> dict[str, Any]:
        self._number += 1
        name = str(row["trial_id"]).partition("-")[2]
        return {
            **row,
            "run": self.folder.name,
            "trial": self._number,
            "trial_id": f"{self._number:03d}-{name}",
            "repetition": pair,
            "side": side,
        }


def _plain(run: results.Run) -> list[dict[str, Any]]:
    """Rows for writing: missing values become `None`."""
    trials = run.trials.astype(object)
    rows = trials.where(trials.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]
