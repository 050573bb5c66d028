"""Run folders of made-up numbers, written through the lab's own writing side: TEST DATA only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import numpy as np

from harness.analysis.percentiles import percentiles
from harness.domain.durability import Durability
from harness.domain.flags import Flag, FlagCode, dumped, stored
from harness.load.column_buffer import SAMPLE_COLUMNS
from harness.load.recording_store import APPEND_COLUMNS
from harness.load.subscribers import DELIVERY_COLUMNS
from harness.results import RunFolder, TableWriter
from harness.results.columns import TRIALS
from harness.results.folder import TRIALS_FILE

LABELS = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p999": 99.9}


@dataclass(frozen=True)
class MadeStore:
    """A store that exists in numbers only. `service_us` is its median service time."""

    key: str
    durability: str = Durability.POWER_LOSS
    service_us: float = 200.0
    conflicts: float = 0.0
    """Conflicts per operation with one stream; fewer with more streams."""
    row: Mapping[str, object] = field(default_factory=dict)
    """Cells that replace the made ones."""


MEMORY = MadeStore("memory", Durability.MEMORY, 4.0, 0.4)
SQLITE = MadeStore("sqlite", service_us=700.0, conflicts=0.1)
POSTGRES = MadeStore("postgres", service_us=180.0, conflicts=0.9)
TEMPLATE = MadeStore(
    "postgres:template",
    service_us=390.0,
    conflicts=0.05,
    row={
        "verified": "findings",
        "violations": 41,
        "first_violation": "expected-version-ignored: stream 'order-1' version 3 event unknown: x",
        "flags": dumped([Flag(FlagCode.FINDINGS, {"count": 41})]),
    },
)
OPTIONS = MadeStore(
    "postgres{notify=true,synchronous_commit=off}", Durability.BOUNDED_LOSS, 150.0, 0.8
)
STORES = (MEMORY, SQLITE, POSTGRES, TEMPLATE, OPTIONS)


@dataclass(frozen=True)
class Made:
    """What to make a run of."""

    stores: Sequence[MadeStore] = STORES
    points: Sequence[Mapping[str, object]] = ({},)
    repetitions: int = 3
    load: str = "closed"
    workload: str = "append"
    operations: int = 20_000
    subscribers: bool = False
    keep_samples: bool = True
    faults: bool = False
    """Each trial has a killed server, a disk that cannot fill up, and seconds around them."""
    manifest: Mapping[str, object] = field(default_factory=dict)


def made_run(out: Path, made: Made | None = None) -> Path:
    """A finished run folder of made-up numbers."""
    made = made or Made()
    folder = RunFolder.create(out, "made")
    folder.write_manifest(manifest(folder) | {"status": "done"} | made.manifest)
    each = product(range(1, made.repetitions + 1), made.points, made.stores)
    rows = [
        _trial(folder, made, store, point, repetition, number)
        for number, (repetition, point, store) in enumerate(each, 1)
    ]
    folder._add(TRIALS_FILE, TRIALS, rows)  # one by one, each would write all before it again
    if made.faults:
        told = [_faults(row, number) for number, row in enumerate(rows, 1)]
        folder.add_faults([fault for faults, _ in told for fault in faults])
        folder.add_intervals([second for _, seconds in told for second in seconds])
    return folder.finish()


def _faults(trial: Mapping[str, object], number: int) -> tuple[list, list]:
    """A trial's faults and its seconds: the higher its number, the longer is its store away."""
    about = {"trial_id": trial["trial_id"], "key": trial["key"]}
    kill = {"number": 1, "fault": "kill server", "at_s": 2.0, "for_s": 1.0, "carried_out": True,
            "began_s": 2.0, "ended_s": 3.0, "back_s": 3.5, "refused": 7, "unknown": 2,
            "silent_s": 1.5 + number, "first_ok_s": 0.5 + number, "lost": 0}  # fmt: skip
    fill = {"number": 2, "fault": "fill disk", "at_s": 6.0, "for_s": 1.0, "carried_out": False,
            "why_not": "the lab may not mount a disk here"}  # fmt: skip
    seconds = [
        about | {"second": second, "length_s": 1.0, "ok": 0 if second in (2, 3) else 900,
                 "in_flight": 8, "service_max_ns": 2e6,
                 "fault": "kill server" if second in (2, 3) else ""}
        for second in range(10)
    ]  # fmt: skip
    return [about | kill, about | fill], seconds


def made_partial(out: Path) -> RunFolder:
    """A run that has not come to its first trial."""
    folder = RunFolder.create(out, "made")
    folder.write_manifest(manifest(folder))
    return folder


def identity(number: int = 1, key: str = "memory", run: str = "made") -> dict[str, object]:
    """The cells that every row has, whatever became of its trial; this one was interrupted."""
    name, _, rest = key.partition("{")
    technology, _, variant = name.partition(":")
    return {
        "run": run, "scenario": "made-up", "scenario_hash": "0" * 64, "trial": number,
        "trial_id": f"{number:03d}-{technology}" + (f"-{variant}" if variant else ""),
        "store": technology, "variant": variant, "options": rest.rstrip("}"), "key": key,
        "workload": "append", "load": "closed", "load_label": "closed, 8 workers", "point": "{}",
        "point_label": "", "repetition": number, "seed": "1/1", "status": "aborted",
        "verified": "off", "valid": False, "flags": "[]",
    }  # fmt: skip


def manifest(folder: RunFolder) -> dict[str, object]:
    """Of a run that goes on, with all that a finished one has."""
    return {
        "run": folder.name,
        "status": "running",
        "started_at": "2026-01-02T03:04:05+00:00",
        "finished_at": "2026-01-02T03:05:05+00:00",
        "command": "eslab run scenarios/made-up.yaml",
        "scenario": {
            "name": "made-up",
            "description": "TEST DATA: numbers made up by a test, measured nowhere",
            "file": "made-up.yaml",
            "hash": "0" * 64,
            "seed": 1,
            "repetitions": 3,
            "text": "name: made-up\nseed: 1\n",
        },
        "commit": {"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": False},
        "environment": {
            "cpu": {"model": "Made-up CPU 9000 @ 2.40GHz", "cores": 2, "affinity": [0, 1]},
            "memory_bytes": 8 << 30,
            "kernel": "6.1.0",
            "system": "Made-up Linux 12",
            "filesystem": "ext4",
            "python": "3.11.2",
            "versions": {"numpy": "2.4.6", "asyncpg": "0.31.0"},
        },
        "flags": stored([Flag(FlagCode.FEW_REPETITIONS, {"minimum": 5})]),
        "left_out": {"kafka": "kafka: no server; needs Java"},
        "servers": {"postgres": {"provider": "native", "version": "18.1", "image": ""}},
    }


def _trial(
    folder: RunFolder,
    made: Made,
    store: MadeStore,
    point: Mapping[str, object],
    repetition: int,
    number: int,
) -> dict[str, object]:
    rng = np.random.default_rng(number)
    row = identity(number, store.key, folder.name) | _load(made, point, repetition)
    row |= {"status": "done", "verified": "ok", "valid": True}
    samples = _samples(rng, made, store)
    conflicts = int(made.operations * store.conflicts / float(point.get("streams.count", 1)))
    row |= _numbers(made, samples, conflicts) | {"durability": str(store.durability)}
    row |= {"settings": json.dumps({"fsync": "on"} if store.key.startswith("postgres") else {})}
    row |= {"provider": "native" if store.key.startswith("postgres") else "none"}
    if made.keep_samples:
        _write(folder, row, samples)
    if made.subscribers:
        row |= _spread("delivery", np.abs(rng.normal(900_000, 300_000, 20_000)).astype(np.int64))
    return row | dict(store.row)


def _load(made: Made, point: Mapping[str, object], repetition: int) -> dict[str, object]:
    closed = made.load == "closed"
    label = "closed, 8 workers" if closed else "open, 500/s poisson, ≤ 64 in flight"
    return {
        "workload": made.workload,
        "load": made.load,
        "load_label": label,
        "workers": 8,
        "rate_per_s": None if closed else 500.0,
        "point": json.dumps(dict(sorted(point.items()))),
        "point_label": ", ".join(f"{name.split('.')[-1]}={value}" for name, value in point.items()),
        "repetition": repetition,
    }


def _samples(rng: np.random.Generator, made: Made, store: MadeStore) -> np.ndarray:
    """Rows in the order of SAMPLE_COLUMNS; the first hundred are warm-up and absurdly slow."""
    count = made.operations + 100
    service_ns = (rng.lognormal(0, 0.5, count) * store.service_us * 1_000).astype(np.int64)
    service_ns[:100] += 10**12
    intended_ns = np.arange(count) * int(store.service_us * 125)
    sent_ns = intended_ns + rng.integers(20_000, 90_000, count)
    columns = np.zeros((count, len(SAMPLE_COLUMNS)), np.int64)
    columns[:, 0] = np.arange(count) - 100
    columns[:100, 0] = -2
    columns[:, 2], columns[:, 3] = intended_ns, intended_ns + 10_000
    columns[:, 4], columns[:, 5] = sent_ns, sent_ns + service_ns
    columns[:, 7] = columns[:, 8] = 1
    return columns


def _numbers(made: Made, samples: np.ndarray, conflicts: int) -> dict[str, object]:
    measured = samples[samples[:, 0] >= 0]
    intended, dispatched, sent, done = (measured[:, place] for place in (2, 3, 4, 5))
    seconds = float(done.max() - intended.min()) / 1e9
    row: dict[str, object] = {
        "measured_s": seconds, "scheduled": len(measured), "ok": len(measured), "conflict": 0,
        "refused": 0, "timeout": 0, "unknown": 0, "dropped": 0, "unfinished": 0, "balanced": True,
        "throughput_per_s": len(measured) / seconds, "events": len(measured),
        "events_per_s": len(measured) / seconds, "attempts": len(measured) + conflicts,
        "versioned_appends": len(measured),
        "retries": conflicts, "conflicts": conflicts, "generator_cpu_s": seconds / 3,
    }  # fmt: skip
    if made.workload == "boundary":
        row |= {
            "decisions": len(measured) + conflicts, "events_read": 7 * len(measured),
            "false_conflicts": conflicts // 2, "compensations": conflicts // 4,
            "keeps_rules": True, "rule_violations": 0,
            "rules_broken": '{"courses over capacity": 0}',
        }  # fmt: skip
    row |= _spread("service", done - sent)
    if made.load == "open":
        row |= _spread("response", done - intended)
        row |= {"dispatch_delay_p50_ns": float(np.median(dispatched - intended))}
    return row


def _spread(name: str, values_ns: np.ndarray) -> dict[str, object]:
    found = percentiles(values_ns, list(LABELS.values()))
    row: dict[str, object] = {f"{name}_count": len(values_ns), f"{name}_max_ns": values_ns.max()}
    return row | {f"{name}_{label}_ns": ns for label, ns in zip(LABELS, found, strict=True)}


def _write(folder: RunFolder, row: Mapping[str, object], samples: np.ndarray) -> None:
    trial_id = str(row["trial_id"])
    tables = {"samples": SAMPLE_COLUMNS, "appends": APPEND_COLUMNS, "deliveries": DELIVERY_COLUMNS}
    for table, columns in list(tables.items())[:2]:
        writer = TableWriter(folder.table_path(table, trial_id), columns)
        if table == "samples":
            writer.write(samples)
        writer.close()
