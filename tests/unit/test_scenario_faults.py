"""The faults of a scenario: their plan, what means nothing, the command line's, and the hash."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.domain.errors import BadInput
from harness.domain.faults import Fault, FaultKind
from harness.scenario import Overrides, load

from .scenarios import CATALOGUE, SMALL, loaded

EVERY_KIND = """\
duration_s: 70
faults:
  - {at_s: 5, kill: server, back_after_s: 1}
  - {at_s: 12, pause: server, for_s: 3}
  - {at_s: 20, cut: network, for_s: 5}
  - {at_s: 30, reset: network}
  - {at_s: 35, lose: answers, for_s: 2}
  - {at_s: 40, slow: network, rtt_ms: 50, for_s: 5}
  - {at_s: 50, fill: disk, for_s: 5}
  - {at_s: 60, lose: power, back_after_s: 1}
"""


def with_faults(tmp_path: Path, *lines: str, duration_s: float = 20):
    entries = "".join(f"  - {line}\n" for line in lines)
    return loaded(tmp_path, f"{SMALL}duration_s: {duration_s:g}\nfaults:\n{entries}")


def with_flags(tmp_path: Path, *lines: str, text: str = SMALL, settings: tuple[str, ...] = ()):
    path = tmp_path / "scenario.yaml"
    path.write_text(text)
    return load(path, CATALOGUE, overrides=Overrides(faults=lines, settings=settings))


def test_every_kind_of_fault_is_planned_at_its_time(tmp_path: Path):
    faults = loaded(tmp_path, SMALL + EVERY_KIND).trials[0].faults
    assert {fault.kind for fault in faults} == set(FaultKind)
    assert faults[0] == Fault(FaultKind.KILL_SERVER, 5, 1)
    assert faults[5] == Fault(FaultKind.SLOW_NETWORK, 40, 5, 50)


def test_a_fault_repeats_as_often_as_it_ends_within_the_trial(tmp_path: Path):
    scenario = with_faults(tmp_path, "{at_s: 2, pause: server, for_s: 1, every_s: 6}")
    assert [fault.at_s for fault in scenario.trials[0].faults] == [2, 8, 14]


def test_faults_are_a_part_of_the_hash_and_a_file_without_any_keeps_its_own(tmp_path: Path):
    without = loaded(tmp_path, SMALL + "duration_s: 20\n").hash
    one = with_faults(tmp_path, "{at_s: 2, reset: network}").hash
    other = with_faults(tmp_path, "{at_s: 3, reset: network}").hash
    assert len({without, one, other}) == 3
    assert loaded(tmp_path, SMALL + "duration_s: 20\nfaults: []\n").hash == without


@pytest.mark.parametrize(
    ("line", "column", "told"),
    [
        ("{at_s: 2, kill: network, back_after_s: 2}", 21, "expected 'server', got 'network'"),
        ("{at_s: 2, pause: server}", 5, "expected for_s with pause server"),
        ("{at_s: 2, kill: server, for_s: 2}", 5, "expected back_after_s with kill server"),
        ("{at_s: 2, reset: network, for_s: 2}", 5, "for_s does not go with reset network"),
        ("{at_s: 2, slow: network, for_s: 2}", 5, "expected rtt_ms with slow network"),
        ("{at_s: 2, cut: network, for_s: 2, rtt_ms: 4}", 5, "rtt_ms does not go with cut network"),
        ("{at_s: 2, burn: server}", 15, "unknown key 'burn'"),
        ("{at_s: 2}", 5, "expected one of kill, pause"),
        ("{at_s: 2, kill: server, cut: network, for_s: 2}", 5, "expected one of kill, pause"),
        ("{kill: server, back_after_s: 2}", 5, "'at_s' is missing"),
        ("{at_s: 20, reset: network}", 5, "reset network at 20 s: the trial ends at 20 s"),
        ("{at_s: 19, cut: network, for_s: 2}", 5, "cut network at 19 s for 2 s: the trial ends"),
        ("{at_s: 2, fill: disk, for_s: 3, every_s: 1}", 5, "hit the server at the same time"),
    ],
)
def test_a_fault_that_means_nothing_is_refused_at_its_place(
    tmp_path: Path, line: str, column: int, told: str
):
    with pytest.raises(BadInput, match=told) as refused:
        with_faults(tmp_path, line)
    lines = (SMALL + "duration_s: 20\nfaults:\n").count("\n")
    assert (refused.value.line, refused.value.column) == (lines + 1, column)


@pytest.mark.parametrize(
    ("other", "place"),
    [
        ("{at_s: 5.5, kill: server, back_after_s: 1}", "server"),
        ("{at_s: 5.5, pause: server, for_s: 1}", "server"),
        ("{at_s: 4, lose: power, back_after_s: 2}", "server"),
        ("{at_s: 5.5, fill: disk, for_s: 1}", "server"),
    ],
)
def test_two_faults_of_one_place_at_the_same_time_are_refused(
    tmp_path: Path, other: str, place: str
):
    with pytest.raises(BadInput, match=f"would hit the {place} at the same time") as refused:
        with_faults(tmp_path, "{at_s: 5, kill: server, back_after_s: 1}", other)
    assert refused.value.column == 5


def test_faults_of_different_places_may_coincide(tmp_path: Path):
    scenario = with_faults(
        tmp_path,
        "{at_s: 5, kill: server, back_after_s: 3}",
        "{at_s: 6, slow: network, rtt_ms: 9, for_s: 3}",
    )
    assert len(scenario.trials[0].faults) == 2


def test_faults_need_a_duration(tmp_path: Path):
    with pytest.raises(BadInput, match="expected duration_s, not operations"):
        loaded(tmp_path, SMALL + "operations: 9\nfaults: [{at_s: 1, reset: network}]\n")


def test_the_command_line_adds_faults_in_words(tmp_path: Path):
    scenario = with_flags(
        tmp_path,
        "kill server at 3s, back after 1s",
        "slow network by 50 ms at 1 s, for 0.5 s, every 2s",
    )
    assert [str(fault) for fault in scenario.trials[0].faults] == [
        "slow network by 50 ms at 1 s for 0.5 s",
        "kill server at 3 s for 1 s",
        "slow network by 50 ms at 3 s for 0.5 s",
        "slow network by 50 ms at 5 s for 0.5 s",
    ]


def test_a_trial_goes_on_for_a_while_after_the_command_lines_faults(tmp_path: Path):
    line = "kill server at 9s, back after 1s"
    assert with_flags(tmp_path, line).trials[0].duration_s == 13
    assert with_flags(tmp_path, line, text=SMALL + "duration_s: 60\n").trials[0].duration_s == 60
    with pytest.raises(BadInput, match=r"--fault 'kill server at 9s.*the trial ends at 4 s"):
        with_flags(tmp_path, line, settings=("duration_s=4",))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("kill server", "expected a fault like 'kill server at 3s"),
        ("kill server at 3s, for 1s", "expected back_after_s with kill server"),
        ("burn server at 3s, for 1s", "no fault burn server; allowed: kill server"),
        ("kill disk at 3s, back after 1s", "expected 'server', got 'disk'"),
        ("pause server at 3s, for 0s", "expected more than 0"),
    ],
)
def test_a_wrong_fault_of_the_command_line_is_one_line_that_names_it(tmp_path, line, told):
    with pytest.raises(BadInput, match=told) as refused:
        with_flags(tmp_path, line)
    assert refused.value.message.startswith(f"--fault {line!r}: ")
    assert "\n" not in str(refused.value)
