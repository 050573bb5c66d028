"""Every kind of fault on a real PostgreSQL under load: each does what it says, and is seen."""

from __future__ import annotations

import pytest

from harness import results
from harness.domain.faults import FaultKind
from harness.servers import lab_disk_hindrance, probe

from .command import eslab, the_run

SCENARIO = """\
name: trouble
stores: [postgres]
workload: append
load: {open: {rate_per_s: 100, in_flight_max: 16}}
events: {size_bytes: 4000, content: random}  # tables grow at once: a full disk is felt
warm_up_s: 0.2
duration_s: 26
faults:
  - {at_s: 1, kill: server, back_after_s: 1}
  - {at_s: 6, pause: server, for_s: 1}
  - {at_s: 8, cut: network, for_s: 1}
  - {at_s: 10, reset: network}
  - {at_s: 12, lose: answers, for_s: 1}
  - {at_s: 14, slow: network, rtt_ms: 300, for_s: 1}
  - {at_s: 17, fill: disk, for_s: 1}
  - {at_s: 20, lose: power, back_after_s: 1}
"""
SHARE = 0.8
"""Of a fault's length nobody is answered; what was on its way when it began still arrives."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    available = probe("postgres", "native")
    if not available.ready:
        pytest.skip(available.detail)
    folder = tmp_path_factory.mktemp("faults")
    path = folder / "trouble.yaml"
    path.write_text(SCENARIO)
    ended = eslab("run", str(path), "--servers", "native", "--out", str(folder / "out"))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return results.load(the_run(folder / "out"))


@pytest.fixture
def seen(run):
    """What clients saw of one kind of fault; a test is skipped where it was not reached."""

    def of(kind: FaultKind):
        row = run.faults.set_index("fault").loc[str(kind)]
        if kind.of_the_disk and lab_disk_hindrance():
            assert not row["carried_out"]
            assert row["why_not"]
            pytest.skip(row["why_not"])
        if not row["carried_out"] and "was not over yet" in row["why_not"]:
            pytest.skip(f"a slow machine: {row['why_not']}")
        assert row["carried_out"], row["why_not"]
        assert row["began_s"] >= row["at_s"]
        assert row["began_s"] <= row["ended_s"] <= row["back_s"]
        return row

    return of


@pytest.mark.parametrize(
    "kind",
    [
        FaultKind.KILL_SERVER,
        FaultKind.PAUSE_SERVER,
        FaultKind.CUT_NETWORK,
        FaultKind.LOSE_ANSWERS,
        FaultKind.LOSE_POWER,
    ],
)
def test_nobody_is_answered_while_it_lasts(seen, kind):
    row = seen(kind)
    assert row["silent_s"] >= SHARE * (row["ended_s"] - row["began_s"])
    assert row["due_during"] > 0


@pytest.mark.parametrize("kind", [FaultKind.KILL_SERVER, FaultKind.LOSE_POWER])
def test_a_server_that_was_killed_takes_new_connections(seen, run, kind):
    assert seen(kind)["connections"] >= 1
    assert seen(kind)["refused"] + seen(kind)["unknown"] > 0
    assert run.trials["server_restarted"].all()


def test_a_paused_server_and_a_cut_network_break_no_connection(seen):
    for kind in (FaultKind.PAUSE_SERVER, FaultKind.CUT_NETWORK):
        assert seen(kind)["refused"] == 0


def test_a_reset_breaks_every_connection(seen):
    assert seen(FaultKind.RESET_NETWORK)["connections"] >= 1


def test_lost_answers_leave_appends_that_were_written_all_the_same(seen, run):
    assert seen(FaultKind.LOSE_ANSWERS)["unknown"] > 0
    assert run.trials["unknown_written"].item() > 0


def test_a_slow_network_makes_every_answer_late(seen, run):
    row = seen(FaultKind.SLOW_NETWORK)
    trial = run.trials["trial_id"].item()
    samples = run.samples(trial, ["op", "sent_ns", "done_ns"])
    measured = samples[samples["op"] >= 0]
    start_ns = measured["sent_ns"].min()
    since_s = (measured["sent_ns"] - start_ns) / 1e9
    inside = measured[(since_s > row["began_s"] + 0.1) & (since_s < row["ended_s"] - 0.4)]
    assert len(inside) > 0
    assert (inside["done_ns"] - inside["sent_ns"]).min() >= 0.29e9


def test_a_full_disk_refuses_appends_until_there_is_room(seen):
    row = seen(FaultKind.FILL_DISK)
    assert row["refused"] + row["unknown"] > 0
    assert row["first_ok_s"] >= 0


def test_nothing_acknowledged_is_lost_and_every_unknown_outcome_is_resolved(run):
    trial = run.trials.iloc[0]
    assert trial["valid"], trial["message"]
    assert (trial["lost"], trial["written_twice"], trial["declared_violations"]) == (0, 0, 0)
    assert trial["unknown_written"] + trial["unknown_lost"] >= trial["unknown"]


def test_the_path_says_that_a_relay_carries_every_byte(run):
    (_, relayed) = run.manifest["servers"]["postgres"]["paths"]
    assert relayed["kind"].endswith("through a relay")


def test_each_second_names_the_fault_under_way(run):
    carried = run.faults[run.faults["carried_out"]]
    named = ", ".join(run.intervals["fault"])
    assert all(kind in named for kind in carried["fault"])
    assert run.intervals["fault"].iloc[0] == ""
