"""latency.hlog: the same counts as HdrHistogram's own recording, and read by its own tools."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.domain.errors import NoServer
from harness.domain.outcome import Outcome
from harness.load.column_buffer import SAMPLE_COLUMNS
from harness.load.loops import Window
from harness.load.trial_files import TrialFiles
from harness.results import TableWriter, hlog
from harness.run.trial_metrics import histograms
from harness.run.trial_samples import TrialSamples
from harness.scenario.model import ClosedLoop, OpenLoop
from harness.servers.native import kafka, maven

hdrh = pytest.importorskip("hdrh.histogram", reason="pip install 'eventstore-lab[hlog]'")
log = pytest.importorskip("hdrh.log")

S = 1_000_000_000
TIMES = st.lists(st.integers(0, hlog.HIGHEST_NS) | st.integers(0, 10**7), max_size=60)


def empty():
    return hdrh.HdrHistogram(hlog.LOWEST_NS, hlog.HIGHEST_NS, hlog.DIGITS)


def recorded(values):
    """The package's own histogram, value by value."""
    histogram = empty()
    for value in values:
        assert histogram.record_value(value)
    return histogram


@given(TIMES)
@example([0, 1, 2047, 2048, 2049, 4095, 4096, hlog.HIGHEST_NS])
@example([1 << bits for bits in range(46)] + [(1 << bits) - 1 for bits in range(1, 46)])
def test_counts_are_those_of_the_packages_own_recording(values):
    assert hlog.counts(np.array(values, np.int64)).tolist() == list(recorded(values).counts)


@given(TIMES)
def test_what_is_encoded_decodes_to_the_same_histogram(values):
    text = hlog.encoded(hlog.counts(np.array(values, np.int64)))
    mine, own = hdrh.HdrHistogram.decode(text), recorded(values)
    assert text.encode() == own.encode()
    assert mine.get_total_count() == len(values)
    assert mine.get_max_value() == own.get_max_value()


@pytest.mark.parametrize("value", [-1, hlog.HIGHEST_NS + 1])
def test_a_value_that_does_not_fit_is_refused(value):
    with pytest.raises(ValueError, match="takes 0 to"):
        hlog.counts(np.array([value]))


def a_log(folder, load):
    """Operations that were due and sent at 0, 0.1, …, 2.4 s and took 5 ms more each time."""
    sent = np.arange(25) * S // 10
    rows = np.full((26, len(SAMPLE_COLUMNS)), -1, np.int64)
    columns = {name: rows[:25, place] for place, name in enumerate(SAMPLE_COLUMNS)}
    columns["op"][:] = np.arange(25)
    columns["intended_ns"][:], columns["sent_ns"][:] = sent - 2_000_000, sent
    columns["done_ns"][:] = sent + np.arange(1, 26) * 5_000_000
    columns["outcome"][:] = Outcome.OK
    writer = TableWriter(folder / "s.parquet", SAMPLE_COLUMNS)
    writer.write(rows)
    writer.close()
    files = TrialFiles(folder / "s.parquet", folder / "a", folder / "d")
    trial = SimpleNamespace(id="001-made", load=load)
    path = folder / hlog.HLOG_FILE
    samples = TrialSamples.read(load, Window(0, round(2.5 * S), 25), files)
    hlog.append(path, histograms(trial, samples))
    return path


OPEN = OpenLoop(rate_per_s=10, arrivals="uniform", in_flight_max=8)


def test_a_log_has_a_line_a_second_and_kind_that_the_package_reads_back(tmp_path):
    lines = a_log(tmp_path, OPEN).read_text().splitlines()
    data = [line for line in lines if line.startswith("Tag=")]
    assert [line.split(",")[0] for line in data] == (
        ["Tag=001-made-service"] * 3 + ["Tag=001-made-response"] * 3
    )
    assert [line.split(",")[2] for line in data[:3]] == ["1.000", "1.000", "0.500"]
    total = empty()
    for line in data[:3]:
        total.decode_and_add(line.split(",")[-1])
    assert total.get_total_count() == 25
    assert total.get_max_value() == pytest.approx(125e6, rel=1e-3)
    reader = log.HistogramLogReader(str(tmp_path / hlog.HLOG_FILE), empty())
    assert reader.get_next_interval_histogram().get_total_count() == 10
    reader.input_file.close()


def test_a_closed_load_has_service_times_alone(tmp_path):
    text = a_log(tmp_path, ClosedLoop(workers=1)).read_text()
    assert "service" in text
    assert "-response," not in text


def test_a_second_trial_adds_to_the_log_under_the_same_heading(tmp_path):
    once = a_log(tmp_path, OPEN).read_text()
    twice = a_log(tmp_path, OPEN).read_text()
    assert twice.startswith(once)
    assert twice.count("StartTime:") == 1


def test_hdrhistograms_own_processor_reads_it(tmp_path):
    """The Java tool, which comes with Kafka's jars."""
    try:
        jars, java = maven.jars("kafka", kafka.POM), maven.java()
    except NoServer as error:
        pytest.skip(f"HdrHistogram's Java tool: {error}")
    path = a_log(tmp_path, OPEN)
    said = subprocess.run(
        [java, "-cp", f"{jars}/*", "org.HdrHistogram.HistogramLogProcessor", "-i", str(path),
         "-tag", "001-made-response", "-outputValueUnitRatio", "1000000"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "Total count    =           25" in said
    assert "[Max     =      127.0" in said
