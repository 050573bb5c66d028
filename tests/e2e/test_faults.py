"""Every kind of fault on a real PostgreSQL under load: each does what it says, and is seen.

Three tests look at one trial: more that fail together would not be run again alone.
"""

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
load: {{open: {{rate_per_s: 100, in_flight_max: 16}}}}
events: {{size_bytes: 4000, content: random}}  # tables grow at once: a full disk is felt
warm_up_s: 0.2
duration_s: {0[26]}
faults:
  - {{at_s: {0[1]}, kill: server, back_after_s: 1}}
  - {{at_s: {0[6]}, pause: server, for_s: 1}}
  - {{at_s: {0[8]}, cut: network, for_s: 1}}
  - {{at_s: {0[10]}, reset: network}}
  - {{at_s: {0[12]}, lose: answers, for_s: 1}}
  - {{at_s: {0[14]}, slow: network, rtt_ms: 300, for_s: 1}}
  - {{at_s: {0[17]}, fill: disk, for_s: 1}}
  - {{at_s: {0[20]}, lose: power, back_after_s: 1}}
"""
STRETCHES = (1, 3)
"""On a busy machine a server may start for longer than was planned: then once more, at leisure."""
SHARE = 0.8
"""Of a fault's length nobody is answered; what was on its way when it began still arrives."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    available = probe("postgres", "native")
    if not available.ready:
        pytest.skip(available.detail)
    for stretch in STRETCHES:
        folder = tmp_path_factory.mktemp("faults")
        path = folder / "trouble.yaml"
        path.write_text(SCENARIO.format([stretch * each for each in range(27)]))
        ended = eslab("run", str(path), "--servers", "native", "--out", str(folder / "out"))
        assert ended.returncode == 0, ended.stdout + ended.stderr
        loaded = results.load(the_run(folder / "out"))
        if not loaded.faults["why_not"].str.contains("was not over yet").any():
            break
    return loaded


@pytest.fixture
def seen(run):
    """What clients saw of one kind of fault; `None` where this machine cannot have it."""

    def of(kind: FaultKind):
        row = run.faults.set_index("fault").loc[str(kind)]
        if kind.of_the_disk and lab_disk_hindrance():
            assert not row["carried_out"]
            assert row["why_not"]
            return None
        assert row["carried_out"], row["why_not"]
        assert row["began_s"] >= row["at_s"]
        assert row["began_s"] <= row["ended_s"] <= row["back_s"]
        return row

    return of


def assert_nobody_is_answered_while_it_lasts(row):
    assert row["silent_s"] >= SHARE * (row["ended_s"] - row["began_s"])
    assert row["due_during"] > 0


def test_what_a_server_and_its_disk_do_is_seen_for_what_it_is(seen, run):
    for kind in (FaultKind.KILL_SERVER, FaultKind.LOSE_POWER):
        row = seen(kind)
        if row is not None:
            assert_nobody_is_answered_while_it_lasts(row)
            assert row["connections"] >= 1
            assert row["refused"] + row["unknown"] > 0
    assert run.trials["server_restarted"].all()
    paused = seen(FaultKind.PAUSE_SERVER)
    assert_nobody_is_answered_while_it_lasts(paused)
    assert paused["refused"] == 0
    full = seen(FaultKind.FILL_DISK)
    if full is not None:
        assert full["refused"] + full["unknown"] > 0
        assert full["first_ok_s"] >= 0


def test_what_a_network_does_is_seen_for_what_it_is(seen, run):
    cut = seen(FaultKind.CUT_NETWORK)
    assert_nobody_is_answered_while_it_lasts(cut)
    assert cut["refused"] == 0
    assert seen(FaultKind.RESET_NETWORK)["connections"] >= 1
    mute = seen(FaultKind.LOSE_ANSWERS)
    assert_nobody_is_answered_while_it_lasts(mute)
    assert mute["unknown"] > 0
    assert run.trials["unknown_written"].item() > 0

    slow = seen(FaultKind.SLOW_NETWORK)
    trial = run.trials["trial_id"].item()
    samples = run.samples(trial, ["op", "sent_ns", "done_ns"])
    measured = samples[samples["op"] >= 0]
    since_s = (measured["sent_ns"] - measured["sent_ns"].min()) / 1e9
    inside = measured[(since_s > slow["began_s"] + 0.1) & (since_s < slow["ended_s"] - 0.4)]
    assert len(inside) > 0
    assert (inside["done_ns"] - inside["sent_ns"]).min() >= 0.29e9
    (_, relayed) = run.manifest["servers"]["postgres"]["paths"]
    assert relayed["kind"].endswith("through a relay")


def test_nothing_acknowledged_is_lost_and_each_second_names_its_fault(run):
    trial = run.trials.iloc[0]
    assert trial["valid"], trial["message"]
    assert (trial["lost"], trial["written_twice"], trial["declared_violations"]) == (0, 0, 0)
    assert trial["unknown_written"] + trial["unknown_lost"] >= trial["unknown"]
    carried = run.faults[run.faults["carried_out"]]
    named = ", ".join(run.intervals["fault"])
    assert all(kind in named for kind in carried["fault"])
    assert run.intervals["fault"].iloc[0] == ""
