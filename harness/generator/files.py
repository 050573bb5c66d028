"""Where the rows of a trial go, of one process or of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from harness.generator.following import DELIVERY_COLUMNS
from harness.generator.journal import APPEND_COLUMNS
from harness.generator.recording import Sink
from harness.generator.samples import SAMPLE_COLUMNS
from harness.results import TableWriter, concatenate


@dataclass(frozen=True, slots=True)
class Sinks:
    """Takers of a trial's rows; `None` forgets them."""

    samples: Sink | None
    appends: Sink | None
    deliveries: Sink | None


@dataclass(frozen=True, slots=True)
class TrialFiles:
    """The three tables of a trial."""

    samples: Path
    appends: Path
    deliveries: Path

    def sinks(self, *, deliveries: bool) -> Sinks:
        """Writers of these files; `deliveries` where there are subscribers."""
        return Sinks(
            TableWriter(self.samples, SAMPLE_COLUMNS),
            TableWriter(self.appends, APPEND_COLUMNS),
            TableWriter(self.deliveries, DELIVERY_COLUMNS) if deliveries else None,
        )

    def part(self, number: int) -> TrialFiles:
        """The files of one worker process of several."""
        return TrialFiles(*(path.with_suffix(f".{number}.parquet") for path in astuple(self)))

    def join(self, parts: Sequence[TrialFiles]) -> None:
        """Put the processes' files one behind the other, and remove them. Raises `LabError`."""
        for path, *pieces in zip(astuple(self), *map(astuple, parts), strict=True):
            concatenate(pieces, path)
            for piece in pieces:
                piece.unlink(missing_ok=True)

    def remove(self) -> None:
        """Forget the rows."""
        for path in astuple(self):
            path.unlink(missing_ok=True)
