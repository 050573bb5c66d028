"""A run folder that was cut off or edited by hand: one line for each damage, before it is used."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from harness import results
from harness.analysis.comparison import recall
from harness.analysis.comparison.noise_floor_file import FILE
from harness.cli.conformance import conformance
from harness.cli.report import write_export
from harness.cli.show import show
from harness.domain.errors import BadInput
from harness.render.exports import export
from harness.render.ranking import print_ranking
from harness.render.report.page import page
from harness.results import RunFolder
from harness.results.columns import INTERVALS, schema
from tests.made_run import MEMORY, POSTGRES, Made, identity, made_partial, made_run

SMALL = Made((MEMORY, POSTGRES), repetitions=2, operations=200, keep_samples=False)
Hurt = Callable[[Path], object]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_run(tmp_path_factory.mktemp("made"), SMALL)


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / whole.name)


def manifest(**parts: object) -> Hurt:
    """The manifest with these parts set."""
    return lambda run: _rewrite(run, lambda old: old | parts)


def without(name: str) -> Hurt:
    return lambda run: _rewrite(run, lambda old: {k: v for k, v in old.items() if k != name})


def within(where: str, /, **parts: object) -> Hurt:
    """The manifest with these parts of one of its parts set; None takes a part away."""

    def change(old: dict[str, Any]) -> dict[str, Any]:
        changed = old[where] | parts
        return old | {where: {part: value for part, value in changed.items() if value is not None}}

    return lambda run: _rewrite(run, change)


def _rewrite(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = run / "manifest.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def column(name: str, value: Any, kind: pa.DataType | None = None) -> Hurt:
    """Every cell of a column set to a value, or to what a function makes of it."""

    def hurt(run: Path) -> None:
        table = pq.read_table(run / "trials.parquet")
        place = table.schema.get_field_index(name)
        cells = [value(old) if callable(value) else value for old in table[name].to_pylist()]
        array = pa.array(cells, kind or table.schema.field(name).type)
        pq.write_table(table.set_column(place, name, array), run / "trials.parquet")

    return hurt


def trials(change: Callable[[pa.Table], pa.Table]) -> Hurt:
    def hurt(run: Path) -> None:
        path = run / "trials.parquet"
        pq.write_table(change(pq.read_table(path)), path)

    return hurt


def both(one: Hurt, other: Hurt) -> Hurt:
    return lambda run: (one(run), other(run))


DAMAGES: dict[str, tuple[Hurt, str]] = {
    "deep": (lambda run: (run / "manifest.json").write_text("[" * 100_000), "cut off or not JSON"),
    **{
        f"format {version!r}": (manifest(format_version=version), "not a whole number from 1")
        for version in ("1", 0, -1, True, None, 1.0)
    },
    **{
        f"no {name}": (without(name), f"manifest.json: not the manifest of a run; no {name}")
        for name in ("run", "started_at", "scenario")
    },
    "run": (manifest(run=5), "run is not text"),
    "started_at": (manifest(started_at=5), "started_at is not text"),
    "status": (manifest(status=3), "status is not text"),
    "scenario": (manifest(scenario="x"), "scenario is not an object"),
    "no name": (within("scenario", name=None), "no scenario.name"),
    "no hash": (within("scenario", hash=None), "no scenario.hash"),
    "hash": (within("scenario", hash=5), "scenario.hash is not text"),
    "flags": (manifest(flags="abc"), "flags: not a list"),
    "no flags": (manifest(flags=None), "flags: not a list"),
    "a flag": (manifest(flags=[3]), "flags: a flag is an object with a code and values"),
    "a flag of no lab": (manifest(flags=[{"code": "x"}]), "flags: 'x' is not a valid FlagCode"),
    "a flag's values": (
        manifest(flags=[{"code": "drift", "values": {"share": 1}}]),
        "flags: a flag drift has the wrong values",
    ),
    "environment": (manifest(environment=None), "environment is not an object"),
    "cpu": (within("environment", cpu="x"), "environment.cpu is not an object"),
    "commit": (manifest(commit="x"), "commit is not an object"),
    "commit's": (within("commit", commit=5), "commit.commit is not text"),
    "servers": (manifest(servers=[1]), "servers is not an object"),
    "a server": (manifest(servers={"postgres": 1}), "servers.* is not an object"),
    "left out": (manifest(left_out="x"), "left_out is not an object"),
    "a sync": (within("environment", sync_latency=-1e308), "sync_latency is not an object"),
    "a sync's time": (
        within("environment", sync_latency={"p50_ns": "x"}),
        "environment.sync_latency.* is not a number or null",
    ),
    "loads": (within("environment", load_average=1), "load_average is not a list"),
    "a load": (within("environment", load_average=["x"]), "load_average.* is not a number"),
    "a path": (
        manifest(servers={"postgres": {"paths": [3]}}),
        "servers.*.paths.* is not an object",
    ),
    "a path's time": (
        manifest(servers={"postgres": {"paths": [{"round_trip_us": "x"}]}}),
        "servers.*.paths.*.round_trip_us is not a number or null",
    ),
    "valid empty": (column("valid", None), "trials.parquet: column valid: an empty cell"),
    "key empty": (column("key", None), "column key: an empty cell"),
    "repetition empty": (column("repetition", None), "column repetition: an empty cell"),
    "valid text": (column("valid", "yes", pa.string()), "column valid: expected bool, got string"),
    "rate text": (column("throughput_per_s", "abc", pa.string()), "column throughput_per_s: expe"),
    "ok 1.5": (column("ok", 1.5, pa.float64()), "column ok: expected int64, got double"),
    "not UTF-8": (
        trials(lambda table: _set(table, "message", b"\xff")),
        "column message: expected string",
    ),
    "rate inf": (column("throughput_per_s", float("inf")), "throughput_per_s: not a finite number"),
    "rate of 10^300": (column("throughput_per_s", 1e300), "throughput_per_s: larger than anything"),
    "log inf": (column("log_bytes_per_event", float("-inf")), "log_bytes_per_event: not a finite"),
    "flags cut": (column("flags", '["x'), "column flags: "),
    "flags 3": (column("flags", "3"), "column flags: not a JSON list of flags"),
    "flags [3]": (column("flags", "[3]"), "column flags: a flag is an object"),
    "point cut": (column("point", "{x"), "column point: not a JSON object"),
    "a time of no lab": (column("started_at", 2**60), "column started_at: not a time at which"),
    "a time before all": (column("started_at", -1), "column started_at: not a time at which"),
    "load": (column("load", "weird"), "column load: expected closed or open"),
    "twice": (trials(lambda table: pa.concat_tables([table, table])), "001-memory occurs twice"),
    "a repetition twice": (
        column("repetition", 1),
        "trial 003-memory has the key, workload, point, repetition, side of 001-memory",
    ),
    "time below zero": (
        column("service_p50_ns", -5.0),
        "trial 001-memory: service_p50_ns is -5.0, below zero",
    ),
    "log below zero": (column("log_bytes_per_event", -1.0), "log_bytes_per_event is -1.0, below"),
    "another run": (column("run", "other"), "trials and manifest are not of one run"),
    "another hash": (column("scenario_hash", "1"), "trials and manifest are not of one run"),
    "faster": (column("throughput_per_s", lambda old: 2 * old), "throughput is not ok ÷ measured"),
    "nothing well": (column("ok", 0), "throughput is not ok ÷ measured_s"),
    "no time": (column("measured_s", 0.0), "throughput is not ok ÷ measured_s"),
    "faster, no ok": (
        both(column("ok", None), column("throughput_per_s", lambda old: 9 * old)),
        "a result, but no ok",
    ),
    "ok column gone": (trials(lambda table: table.drop_columns(["ok"])), "a result, but no ok"),
    "measured empty": (column("measured_s", None), "a result, but no measured_s"),
    "scheduled empty": (column("scheduled", None), "a result, but no scheduled"),
    "rate empty": (column("throughput_per_s", None), "a result, but no throughput_per_s"),
    "rate NaN": (column("throughput_per_s", float("nan")), "a result, but no throughput_per_s"),
    "a rate not done": (
        both(column("status", "failed"), column("throughput_per_s", lambda old: 9 * old)),
        "throughput is not ok ÷ measured_s",
    ),
}  # fmt: skip


def _set(table: pa.Table, name: str, cell: bytes) -> pa.Table:
    """A text column of bytes that are no text, as only a broken writer makes it."""
    lengths = pa.array([cell] * len(table), pa.binary())
    broken = pa.StringArray.from_buffers(len(table), *lengths.buffers()[1:])
    return table.set_column(table.schema.get_field_index(name), name, broken)


@pytest.mark.parametrize(("hurt", "told"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_run_is_one_line_when_it_is_loaded(run: Path, hurt: Hurt, told: str):
    hurt(run)
    with pytest.raises(BadInput) as error:
        results.load(run)
    assert told in str(error.value)
    assert str(run) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["delivery_p50_ns", "queue_delay_p99_ns", "data_bytes_per_event"])
def test_what_may_be_below_zero_is_loaded(run: Path, name: str):
    column(name, -5.0)(run)
    assert (results.load(run).trials[name] == -5).all()


@pytest.mark.parametrize(
    "part", ["status", "flags", "environment", "commit", "servers", "left_out", "command"]
)
def test_what_a_run_says_only_at_its_end_may_be_missing(run: Path, part: str, capsys):
    without(part)(run)
    show(run, json=False)
    assert run.name in capsys.readouterr().out


def test_a_trial_that_is_not_done_needs_no_result(tmp_path: Path):
    folder = made_partial(tmp_path)
    for number, status in enumerate(("aborted", "failed", "unsupported", "no-server"), start=1):
        folder.add_trial(identity(number, run=folder.name) | {"status": status})
    assert len(results.load(folder.path).trials) == 4


def test_a_run_cut_off_before_its_first_trial_is_shown(tmp_path: Path, capsys):
    folder = made_partial(tmp_path).path
    show(folder, json=False)
    assert "(running)" in capsys.readouterr().out
    out = io.StringIO()
    print_ranking(results.load(folder).trials, Console(file=out))
    assert not out.getvalue()


@pytest.mark.parametrize(
    ("content", "told"),
    [(pa.table({"a": [1]}), "no column trial_id"), (None, "cut off or not Parquet")],
)
def test_damaged_intervals_are_one_line(run: Path, content, told: str):
    path = run / "intervals.parquet"
    pq.write_table(schema(INTERVALS).empty_table() if content is None else content, path)
    if content is None:
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(BadInput, match=rf"intervals\.parquet: .*{told}"):
        _ = results.load(run).intervals


@pytest.mark.parametrize(
    ("log", "told"),
    [
        (b"\xff\xfe\n", "not a histogram log"),
        (b"#[Histogram log format version 1.3]\nTag=001-memory-service,1.0", "cut off in its last"),
        (b"", "cut off in its last line"),
    ],
)
def test_a_damaged_histogram_log_is_not_exported(run: Path, log: bytes, told: str):
    (run / "latency.hlog").write_bytes(log)
    with pytest.raises(BadInput, match=rf"latency\.hlog: {told}"):
        export(run, "hlog")


def test_an_export_makes_the_folder_that_it_goes_to(run: Path, tmp_path: Path):
    out = tmp_path / "new" / "folder" / "run.csv"
    write_export(run, "csv", out=out)
    assert out.read_text() == export(run, "csv")


def test_an_export_under_a_file_is_one_line(run: Path):
    with pytest.raises(BadInput, match=r"^--out: .*expected a folder$"):
        write_export(run, "csv", out=run / "manifest.json" / "run.csv")


@pytest.mark.parametrize("under", ["", "deeper", "deeper/still"])
def test_a_run_that_is_to_go_into_a_file_is_one_line(tmp_path: Path, under: str):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="not a folder, so no run can go there"):
        RunFolder.create(tmp_path / "file" / under, "quick")


def test_a_noise_floor_that_is_no_text_is_one_line(tmp_path: Path):
    (tmp_path / FILE).write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match=rf"{FILE}: not the lines of `eslab aa`"):
        recall(tmp_path, "0" * 64, "12345678", ["memory"])


NOISE = {"pairs": 10, "spread": 0.01, "furthest": 0.02, "usual": 0.01}


@pytest.mark.parametrize(
    "parts",
    [
        {"key": ["memory"]},
        {"measured_at": 20260102},
        {"environment": None},
        {"metrics": {"p50": NOISE | {"spread": "0.01"}}},
        {"metrics": {"p50": NOISE | {"spread": True}}},
        {"metrics": {"p50": NOISE | {"furthest": float("nan")}}},
        {"metrics": {"p50": NOISE | {"furthest": 10**400}}},
        {"metrics": {"p50": NOISE | {"usual": -1}}},
        {"metrics": {"p50": NOISE | {"usual": None}}},
    ],
    ids=str,
)
def test_a_noise_floor_with_a_value_that_nobody_measured_is_one_line(tmp_path: Path, parts):
    line = {
        "measured_at": "2026-01-02T03:04:05+00:00", "scenario_hash": "0" * 64,
        "environment": "12345678", "key": "memory", "metrics": {"p50": NOISE},
    }  # fmt: skip
    (tmp_path / FILE).write_text(json.dumps(line) + "\n")
    (known,) = recall(tmp_path, "0" * 64, "12345678", ["memory"])
    assert known.metrics["p50"] == NOISE
    (tmp_path / FILE).write_text(json.dumps(line) + "\n" + json.dumps(line | parts) + "\n")
    with pytest.raises(BadInput, match=rf"{FILE}:2:1: not a line of `eslab aa`"):
        recall(tmp_path, "0" * 64, "12345678", ["memory"])


@pytest.mark.parametrize(
    "result",
    [
        {},
        {"check": 9, "provoked": [{"what": "x", "count": "many", "least": 0}]},
        {"check": 9, "provoked": [{"what": "x"}]},
        {"check": 9, "provoked": 5},
        [],
    ],
    ids=str,
)
def test_a_check_is_not_explained_by_a_damaged_matrix(tmp_path: Path, result):
    folder = tmp_path / "20260102-030405-conformance-abcd"
    folder.mkdir()
    matrix = {"format_version": 1, "stores": [{"store": "memory", "results": [result]}]}
    (folder / "conformance.json").write_text(json.dumps(matrix))
    with pytest.raises(BadInput, match=r"conformance\.json: not a guarantee matrix"):
        conformance(explain="9", out=tmp_path)


ODD = {
    "no point": column("point", ""),
    "nothing that is ranked": column("verified", "impossible"),
}


@pytest.mark.parametrize("hurt", ODD.values(), ids=ODD)
def test_a_run_that_is_odd_but_whole_is_shown_exported_and_drawn(run: Path, hurt: Hurt):
    hurt(run)
    loaded = results.load(run)
    print_ranking(loaded.trials, Console(file=io.StringIO()))
    for name in ("csv", "json", "bmf", "gha", "markdown"):
        assert export(run, name)
    assert "<html" in page(loaded)
