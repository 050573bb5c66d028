"""A run read back: documented dtypes, and one line for every folder that is not a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import results
from harness.domain.errors import BadInput
from harness.results import RunFolder, reading
from harness.results.columns import TRIALS
from tests.made_run import MEMORY, Made, identity, made_partial, made_run

DTYPES = {
    "int": "Int64",
    "float": "float64",
    "bool": "boolean",
    "text": "string",
    "json": "string",
    "time": "datetime64[ms, UTC]",
}
SMALL = Made(stores=(MEMORY,), repetitions=2, operations=200)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return made_run(tmp_path, SMALL)


def test_trials_have_the_documented_dtypes(run: Path):
    found = {name: str(dtype) for name, dtype in results.load(run).trials.dtypes.items()}
    assert found == {column.name: DTYPES[column.kind] for column in TRIALS}


def test_what_was_written_is_what_is_read(run: Path):
    loaded = results.load(str(run))
    assert loaded.manifest["scenario"]["name"] == "made-up"
    assert loaded.trials["repetition"].tolist() == [1, 2]
    assert loaded.trials["response_p50_ns"].isna().all()
    samples = loaded.samples("001-memory")
    assert (len(samples), str(samples["done_ns"].dtype)) == (300, "int64")
    assert list(loaded.samples("001-memory", ["op", "outcome"]).columns) == ["op", "outcome"]
    assert loaded.appends("002-memory").empty


def test_a_drawing_reads_all_samples_of_a_trial_but_not_of_a_very_long_one(run: Path, monkeypatch):
    loaded = results.load(run)
    kept = loaded.kept_samples("001-memory")
    assert kept.equals(loaded.samples("001-memory", list(kept.columns)))
    monkeypatch.setattr(reading, "DRAWN_MAX", len(kept) - 1)
    assert loaded.kept_samples("001-memory") is None
    assert loaded.has_samples("001-memory")


def test_a_trial_without_subscribers_has_no_deliveries(run: Path):
    loaded = results.load(run)
    assert list(loaded.deliveries("001-memory").columns)[-1] == "handled_ns"
    assert list(loaded.deliveries("001-memory", ["event"]).columns) == ["event"]
    assert loaded.deliveries("001-memory").empty


def test_a_partial_folder_can_be_opened(tmp_path: Path):
    folder = made_partial(tmp_path)
    assert results.load(folder.path).trials.empty
    folder.add_trial(identity(run=folder.name))
    assert results.load(folder.path).trials["key"].tolist() == ["memory"]


def test_an_unknown_trial_is_refused(run: Path):
    with pytest.raises(BadInput, match=r"no trial '\.\./x'"):
        results.load(run).samples("../x")


def test_samples_that_were_not_kept_say_so(tmp_path: Path):
    run = made_run(tmp_path, Made(stores=(MEMORY,), repetitions=1, keep_samples=False))
    loaded = results.load(run)
    assert not loaded.has_samples("001-memory")
    with pytest.raises(BadInput, match="were not kept"):
        loaded.samples("001-memory")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _newer(run: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps(manifest | {"format_version": 99}))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda run: (run / "manifest.json").unlink(), "not a run folder"),
        (lambda run: _cut(run / "manifest.json"), "cut off or not JSON"),
        (lambda run: (run / "manifest.json").write_bytes(b"\xff\xfe"), "cut off or not JSON"),
        (lambda run: (run / "manifest.json").write_text("[]"), "no format_version"),
        (lambda run: _cut(run / "trials.parquet"), "cut off or not Parquet"),
        (lambda run: (run / "trials.parquet").write_text("x"), "cut off or not Parquet"),
        (
            lambda run: (run / "samples/001-memory.parquet").replace(run / "trials.parquet"),
            "not the trials of a run",
        ),
        (_newer, "written in format version 99"),
    ],
)
def test_a_bad_folder_is_one_line(run: Path, spoil, said: str):
    spoil(run)
    with pytest.raises(BadInput, match=said) as raised:
        results.load(run)
    assert "\n" not in str(raised.value)


def test_a_samples_file_that_is_cut_off_is_one_line(run: Path):
    _cut(run / "samples" / "001-memory.parquet")
    with pytest.raises(BadInput, match=r"001-memory\.parquet: cut off"):
        results.load(run).samples("001-memory")


@pytest.mark.parametrize("path", ["/dev/null", "/no/such/folder", "."])
def test_what_is_not_a_run_is_refused(path: str):
    with pytest.raises(BadInput, match="not a run folder"):
        results.load(path)


def test_the_newest_run_is_the_last_finished_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("20260101-000000-old-aaaa", "20260102-000000-new-0000", "20270101-000000-not-a"):
        (tmp_path / "results" / name).mkdir(parents=True)
    for name in ("20260101-000000-old-aaaa", "20260102-000000-new-0000"):
        (tmp_path / "results" / name / "manifest.json").write_text("{}")
    RunFolder.create(tmp_path / "results", "running").write_manifest({})
    assert results.newest(tmp_path / "results").name == "20260102-000000-new-0000"
    (tmp_path / "notebooks").mkdir()
    for place in (".", "notebooks"):
        monkeypatch.chdir(tmp_path / place)
        assert results.newest().name == "20260102-000000-new-0000"


def test_no_run_at_all_says_what_makes_one(tmp_path: Path):
    with pytest.raises(BadInput, match="make bench"):
        results.newest(tmp_path)


def test_a_durability_class_that_was_measured_ranks_and_other_stores_keep_theirs(run: Path):
    before = results.load(run).trials
    key, *others = before["key"].unique()
    stores = [
        {"store": key, "durability": {"measured": "process-crash safe"}},
        {"store": "elsewhere", "durability": {"measured": "memory"}},
        *({"store": other} for other in others),
    ]
    (run / "conformance.json").write_text(json.dumps({"format_version": 1, "stores": stores}))
    after = results.load(run).trials
    assert set(after.loc[after["key"] == key, "durability"]) == {"process-crash safe"}
    rest = before["key"] != key
    assert list(after.loc[rest, "durability"]) == list(before.loc[rest, "durability"])


def test_a_matrix_that_is_none_leaves_the_classes_from_settings(run: Path):
    before = list(results.load(run).trials["durability"])
    for spoilt in ("{", '{"stores": [{"durability": 5}]}', '{"stores": 3}'):
        (run / "conformance.json").write_text(spoilt)
        assert list(results.load(run).trials["durability"]) == before
