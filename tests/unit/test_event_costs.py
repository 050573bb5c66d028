"""From counts at both ends of a window to what an event cost."""

from __future__ import annotations

import pandas as pd
import pyarrow.parquet as pq
import pytest

from harness import results
from harness.analysis import summary
from harness.domain.costs import Usage
from harness.results.folder import TRIALS_FILE
from harness.run import event_costs
from tests.made_run import MEMORY, POSTGRES, Made, MadeStore, made_run


def test_what_was_used_is_divided_by_the_events():
    before = {"server_cpu_s": 1.0, "log_bytes": 500.0, "disk_bytes": 10.0, "commits": 7}
    after = {"server_cpu_s": 1.5, "log_bytes": 8_500.0, "disk_bytes": 90.0, "commits": 107}
    row = event_costs.row(Usage(before, after), events=100)
    assert row["server_cpu_per_event_us"] == pytest.approx(5_000)
    assert row["log_bytes_per_event"] == 80
    assert row["commits_per_event"] == 1
    assert (row["disk_before_bytes"], row["disk_after_bytes"]) == (10, 90)


def test_what_was_counted_at_one_end_only_is_empty_and_never_zero():
    row = event_costs.row(Usage({"commits": 3}, {"commits": 3, "log_bytes": 500}), events=10)
    assert "log_bytes_per_event" not in row
    assert row["disk_before_bytes"] is None
    assert row["commits_per_event"] == 0


def test_what_a_restarted_server_counted_anew_is_empty_and_data_may_shrink():
    before = {"commits": 90, "server_cpu_s": 5.0, "data_bytes": 500}
    after = {"commits": 3, "server_cpu_s": 1.0, "data_bytes": 400}
    row = event_costs.row(Usage(before, after), events=10)
    assert "commits_per_event" not in row
    assert "server_cpu_per_event_us" not in row
    assert row["data_bytes_per_event"] == -10
    assert row["costs"] == '{"data_bytes": -100}'


def test_a_counter_that_began_anew_and_passed_what_it_was_is_missing_and_named():
    before = {"commits": 90, "syncs": 5, "log_bytes": 10, "commits began": 1.0, "syncs began": 1.0}
    after = {"commits": 95, "syncs": 9, "log_bytes": 30, "commits began": 2.0, "syncs began": 1.0}
    usage = Usage(before, after)
    row = event_costs.row(usage, events=10)
    assert "commits_per_event" not in row
    assert (row["syncs_per_event"], row["log_bytes_per_event"]) == (0.4, 2)
    assert row["counts_reset"] == "commits"
    assert row["costs"] == '{"syncs": 4, "log_bytes": 20}'
    assert not usage.server_restarted


RESTARTS = {
    "recovered": ({"server began": 1.0}, {"server began": 2.0}, True),
    "another process": ({"server_process began": 1.0}, {"server_process began": 2.0}, True),
    "ended": ({"server_process began": 1.0}, {}, True),
    "not told": ({}, {"server_process began": 2.0}, False),
    "told before, and could not be asked after": ({"server began": 1.0}, {}, False),
    "the same": ({"server began": 1.0}, {"server began": 1.0}, False),
}


@pytest.mark.parametrize("name", RESTARTS)
def test_a_restart_is_seen_by_when_the_server_began(name):
    before, after, restarted = RESTARTS[name]
    assert Usage(before, after).server_restarted == restarted


def test_a_reset_counter_is_not_compared(tmp_path):
    """A gate does not call a count that is missing regressed, nor equal."""
    row = {"commits_per_event": None, "counts_reset": "commits"}
    reset = MadeStore(POSTGRES.key, row=row)
    trials = results.load(made_run(tmp_path, Made(stores=(reset,), operations=2_000))).trials
    assert trials["commits_per_event"].isna().all()
    assert "commits_per_event" not in summary.costs(trials)


def test_without_events_nothing_is_divided():
    row = event_costs.row(Usage({"commits": 3}, {"commits": 9}), events=0)
    assert "commits_per_event" not in row
    assert row["costs"] == '{"commits": 6}'


def test_costs_of_repetitions_are_their_median_and_uncounted_columns_are_left_out(tmp_path):
    counted = MadeStore(POSTGRES.key, row={"log_bytes_per_event": 700.0})
    made = Made(stores=(MEMORY, counted), operations=2_000, keep_samples=False)
    frame = summary.costs(results.load(made_run(tmp_path, made)).trials).set_index("key")
    assert frame.loc["postgres", "log_bytes_per_event"] == 700
    assert pd.isna(frame.loc["memory", "log_bytes_per_event"])
    assert "write_units_per_event" not in frame


def test_a_run_from_before_there_were_costs_is_read_with_empty_ones(tmp_path):
    run = made_run(tmp_path, Made(stores=(MEMORY,), operations=2_000, keep_samples=False))
    table = pq.read_table(run / TRIALS_FILE)
    old = table.drop_columns(["log_bytes_per_event", "costs", "disk_after_bytes"])
    pq.write_table(old, run / TRIALS_FILE)
    trials = results.load(run).trials
    assert trials["log_bytes_per_event"].isna().all()
    assert (trials["costs"] == "").all()
