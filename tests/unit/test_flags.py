"""Flags: stored as data, written as sentences in one place, readable from runs of format 1."""

from __future__ import annotations

import json

import pytest

from harness.domain.flags import Flag, FlagCode, dumped, explanation, listed, merged, sentence
from harness.results import format_1

EVERY_FLAG = [
    Flag(FlagCode.UNBALANCED),
    Flag(FlagCode.GENERATOR_BOUND),
    Flag(FlagCode.SHARED_CORE),
    Flag(FlagCode.OPERATIONS_FAILED, {"share": 0.004}),
    Flag(FlagCode.NEVER_STEADY),
    Flag(FlagCode.STEADY_LATE, {"after_s": 1.5}),
    Flag(FlagCode.BELOW_TARGET),
    Flag(FlagCode.GUARANTEE_BROKEN),
    Flag(FlagCode.FINDINGS, {"count": 41}),
    Flag(FlagCode.UNITS, {"read_units": 0.81, "write_units_by_rule": 4.0}),
    Flag(FlagCode.SEARCHED, {"rate_per_s": 3644.0, "failed_rate_per_s": 3990.0}),
    Flag(FlagCode.SEARCHED, {"rate_per_s": 3644.0}),
    Flag(FlagCode.FEW_REPETITIONS, {"minimum": 5}),
    Flag(FlagCode.DIRTY_TREE),
    Flag(FlagCode.SWAPPING),
    Flag(FlagCode.BUSY_MACHINE),
    Flag(FlagCode.STOLEN_CPU),
    Flag(FlagCode.DRIFT, {"share": 0.07, "direction": "slower"}),
    Flag(FlagCode.DOCKER_PROXY, {"servers": "kafka, postgres"}),
]
NEWER = [
    Flag(FlagCode.WITHOUT_VERSIONS),
    Flag(FlagCode.DRIVER_BOUND, {"share": 0.78}),
    Flag(FlagCode.FAILED_WITH, {"reason": "DiskFullError", "count": 12}),
    Flag(FlagCode.DATA_IN_MEMORY, {"places": "sqlite on tmpfs"}),
    Flag(FlagCode.DATA_UNSYNCED, {"places": "sqlite on overlay over ext4 (/dev/vda)"}),
    Flag(FlagCode.DATA_DOUBTFUL, {"places": "sqlite on nfs4"}),
    Flag(FlagCode.DATA_APART, {"places": "sqlite on ext4 (/dev/vda); postgres on tmpfs"}),
    Flag(FlagCode.DATA_SOMEWHERE, {"servers": "postgres"}),
    Flag(FlagCode.PROXY, {"servers": "dynamodb (proxy:3128)"}),
    Flag(FlagCode.WITHOUT_SERVICE, {"seconds": 33.0, "of_s": 41.0}),
    Flag(FlagCode.UNANSWERED, {"count": 8, "longest_s": 33.01}),
    Flag(
        FlagCode.IN_DOUBT,
        {
            "unknown_attempts": 12,
            "settled_by_answer": 9,
            "settled_by_reading": 1,
            "settled_by_conflict": 2,
            "given_up": 0,
        },
    ),
    Flag(FlagCode.OVERRAN, {"measured_s": 41.0, "asked_s": 8.0}),
    Flag(FlagCode.SERVER_RESTARTED),
    Flag(FlagCode.LAB_STALLED, {"seconds": 5.0, "of_s": 8.0}),
    Flag(FlagCode.COUNTS_RESET, {"counts": "commits, syncs"}),
    Flag(FlagCode.STALE_READS, {"stale": 12, "reads": 3400, "longest_s": 0.034}),
    Flag(FlagCode.RULES_BROKEN, {"courses over capacity": 3, "names taken twice": 0}),
    Flag(FlagCode.NOT_APART, {"cause": "limit", "limit_cores": 0.5}),
    Flag(FlagCode.NOT_APART, {"cause": "servers", "servers": "kafka"}),
]
"""Flags that no run of format 1 has."""
each = pytest.mark.parametrize("flag", EVERY_FLAG, ids=lambda flag: flag.code)


@pytest.mark.parametrize("flag", [*EVERY_FLAG, *NEWER], ids=lambda flag: flag.code)
def test_a_flag_is_read_back_as_it_was_stored(flag: Flag):
    assert listed(dumped([flag])) == [flag]


@each
def test_the_sentence_of_a_run_of_format_1_becomes_its_flag(flag: Flag):
    assert [sentence([found]) for found in format_1.flags_of([sentence([flag])])] == [
        sentence([flag])
    ]
    assert format_1.flags_of([sentence([flag])])[0].code == flag.code


@pytest.mark.parametrize("code", list(FlagCode), ids=str)
def test_every_code_of_a_stored_flag_is_tried_here(code: FlagCode):
    derived = {
        FlagCode.INTERRUPTED,
        FlagCode.REPETITIONS_LEFT_OUT,
        FlagCode.NOT_VERIFIED,
        FlagCode.REMARK,
    }
    assert (code in derived) != (code in {flag.code for flag in [*EVERY_FLAG, *NEWER]})


def test_a_store_without_versions_is_named_with_what_that_means():
    flag = Flag(FlagCode.WITHOUT_VERSIONS)
    assert listed(dumped([flag])) == [flag]
    assert sentence([flag]) == "appends without expected versions: the store has none"
    assert "less" in explanation(flag)


def test_a_sentence_that_no_lab_wrote_stays_a_remark():
    (flag,) = format_1.flags_of(["the moon was full"])
    assert (flag.code, sentence([flag])) == (FlagCode.REMARK, "the moon was full")
    assert explanation(flag) == ""


def test_alike_flags_of_repetitions_are_one_with_a_range():
    three, seven, five = (Flag(FlagCode.FINDINGS, {"count": n}) for n in (3, 7, 5))
    lists = [[three], [seven], [five, Flag(FlagCode.SWAPPING)]]
    assert merged(lists) == [
        "3–7 findings in what it kept",
        "the machine was swapping (1 of 3 repetitions)",
    ]


def test_each_number_of_a_flag_that_differs_is_a_range():
    some, more = (Flag(FlagCode.UNITS, {"read_units": n, "write_units": 2.0}) for n in (0.21, 0.68))
    assert merged([[more], [some]]) == ["consumed an event: 0.21–0.68 read units, 2.00 write units"]


def test_flags_with_other_texts_or_other_values_stay_apart():
    faster, slower = (
        Flag(FlagCode.DRIFT, {"share": 0.1, "direction": direction})
        for direction in ("faster", "slower")
    )
    assert len(merged([[faster], [slower]])) == 2
    held = Flag(FlagCode.SEARCHED, {"rate_per_s": 100.0})
    bounded = Flag(FlagCode.SEARCHED, {"rate_per_s": 100.0, "failed_rate_per_s": 110.0})
    assert len(merged([[held], [bounded]])) == 2


@pytest.mark.parametrize(
    "stored",
    [3, "x", {}, {"code": "x"}, {"code": "drift"}, {"code": "findings", "values": {"count": []}}],
    ids=json.dumps,
)
def test_what_is_no_flag_is_refused(stored):
    with pytest.raises(ValueError, match=r"flag|FlagCode"):
        listed(json.dumps([stored]))


def test_of_the_rules_only_those_that_were_broken_are_named():
    first, second = (
        Flag(FlagCode.RULES_BROKEN, {"courses over capacity": full, "names taken twice": 0})
        for full in (3, 12)
    )
    assert merged([[first], [second]]) == ["broken rules: courses over capacity (3–12)"]
