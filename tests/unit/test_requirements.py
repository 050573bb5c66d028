"""What a scenario requires, judged store by store: pass, fail, or unknown with its reason."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pytest

from harness import stores
from harness.analysis import summary
from harness.domain.errors import BadInput

from .scenarios import SMALL, loaded

TRIAL = {
    "key": "made", "store": "made", "variant": "", "options": "",
    "status": "done", "valid": True, "message": "", "first_violation": "",
    "verified": "ok", "violation_list": "[]", "load": "open", "rate_per_s": 2000.0,
    "throughput_per_s": 1999.0, "scheduled": 100_000, "failed_rate_per_s": None,
    "versioned_appends": 10_000,
    "refused": 0, "timeout": 0, "unknown": 0, "dropped": 0, "unfinished": 0,
    "ok": 100_000, "conflict": 0, "response_count": 100_000,
    "response_p50_ns": 1e6, "response_p99_ns": 20e6,
    "durability": "power-loss safe as configured", "guarantees": "{}", "flags": "[]",
}  # fmt: skip


def declaring(**declared):
    return {"guarantees": json.dumps(declared)}


def judged(require, *trials):
    """By requirement its status and reason."""
    rows = summary.requirements(pd.DataFrame([TRIAL | trial for trial in trials]), require)
    return {row["requirement"]: (row["status"], row["reason"]) for _, row in rows.iterrows()}


def status(require, *trials):
    ((found, _),) = judged(require, *trials).values()
    return found


@pytest.mark.parametrize(
    ("declared", "wanted", "found"),
    [
        ("native", "native", "pass"), ("native", "emulated", "pass"),
        ("emulated", "native", "fail"), ("none", "emulated", "fail"),
    ],
)  # fmt: skip
def test_more_than_was_asked_for_is_enough(declared, wanted, found):
    assert status({"occ": wanted}, declaring(occ=declared)) == found


@pytest.mark.parametrize(
    ("require", "told"),
    [
        ({"occ": "sometimes"}, "occ: expected none or emulated or native, got 'sometimes'"),
        ({"occ": ["native"]}, "occ: expected none or emulated or native, got ['native']"),
        ({"atomic_append": "yes"}, "atomic_append: expected False or True, got 'yes'"),
        ({"durability": 5}, "durability: expected memory or bounded-loss or"),
        ({"at_rate_per_s": "fast"}, "at_rate_per_s: expected a number from 0, got 'fast'"),
        ({"at_rate_per_s": 5, "p99_ms": None}, "p99_ms: expected a number from 0, got None"),
        ({"at_rate_per_s": 5, "errors": -1}, "errors: expected a number from 0, got -1"),
    ],
)
def test_a_requirement_that_is_none_is_one_line(require, told):
    with pytest.raises(BadInput) as error:
        judged(require, declaring(occ="native"))
    assert f"manifest.json: scenario.require.{told}" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_requirement_of_a_newer_lab_is_left_alone():
    assert judged({"colour": "blue"}, declaring(occ="native")) == {}


@pytest.mark.parametrize(
    ("counts", "answer", "reason"),
    [
        ([0, 5], "pass", "nothing against it"),
        ([0, 0], "unknown", "declares native; no append of this run had an expected version"),
        ([None], "unknown", "declares native; this run does not record whether"),
        ([None, 0], "unknown", "no append of this run had"),
    ],
)
def test_a_version_check_that_no_append_asked_for_is_not_judged(counts, answer, reason):
    trials = [declaring(occ="native") | {"versioned_appends": count} for count in counts]
    found, why = judged({"occ": "native"}, *trials)["occ: native"]
    assert (found, reason in why) == (answer, True), why


def test_a_store_without_version_checks_fails_whatever_ran():
    unused = declaring(occ="none") | {"versioned_appends": 0}
    assert status({"occ": "native"}, unused) == "fail"


def test_checks_exercise_what_the_load_did_not():
    unused = pd.DataFrame([TRIAL | declaring(occ="native") | {"versioned_appends": 0}])
    check = {"key": "made", "declared_by": "occ", "defect": False, "mark": "✓", "number": 7,
             "check": "made", "word": "holds"}  # fmt: skip
    for mark, answer in (("✓", "pass"), ("–", "unknown")):
        checked = pd.DataFrame([check | {"mark": mark}])
        (found,) = summary.requirements(unused, {"occ": "native"}, checked)["status"]
        assert found == answer


KNOWN, SURE = "memory", "power-loss safe as configured"
UNREPORTED = "unknown durability"


@pytest.mark.parametrize(
    ("classes", "answer"),
    [
        ([UNREPORTED], "unknown"),
        ([SURE, UNREPORTED], "unknown"),
        ([UNREPORTED, KNOWN], "fail"),
        ([SURE], "pass"),
        ([""], "unknown"),
    ],
)
@pytest.mark.parametrize("wanted", ["bounded-loss", "process-crash", "power-loss"])
def test_what_a_server_does_not_report_is_neither_kept_nor_broken(classes, answer, wanted):
    trials = [{"durability": each} for each in classes]
    assert status({"durability": wanted}, *trials) == answer


def test_unknown_is_no_class_to_require():
    with pytest.raises(BadInput, match="expected memory or bounded-loss or process-crash or power"):
        judged({"durability": "unknown"}, {})


def test_the_unknown_class_comes_last():
    trials = pd.DataFrame({"durability": [UNREPORTED, KNOWN, SURE, UNREPORTED], "n": range(4)})
    assert list(summary.strongest_first(trials)["n"]) == [2, 1, 0, 3]


def test_a_promise_that_verification_saw_broken_fails_with_the_violation():
    violation = "expected-version-ignored: stream 'a' version 3 event unknown: x"
    broken = declaring(occ="native") | {"violation_list": json.dumps([violation])}
    found, reason = judged({"occ": "native"}, declaring(occ="native"), broken)["occ: native"]
    assert found == "fail"
    assert violation in reason
    assert status({"global_order": "total"}, broken | declaring(global_order="total")) == "pass"


def test_only_the_kind_of_a_violation_decides_what_it_breaks():
    violation = "foreign: stream 'misplaced:' version 3 event unknown: misplaced: x"
    row = declaring(occ="native") | {"violation_list": json.dumps([violation])}
    assert status({"occ": "native"}, row) == "pass"


def test_what_was_not_verified_or_did_not_end_is_unknown():
    assert status({"occ": "native"}, declaring(occ="native") | {"verified": "off"}) == "unknown"
    assert status({"occ": "native"}, {"status": "failed", "valid": False}) == "unknown"


@pytest.mark.parametrize(
    ("had", "wanted", "found"),
    [
        ("power-loss safe as configured", "process-crash", "pass"),
        ("memory", "bounded-loss", "fail"), ("", "bounded-loss", "unknown"),
    ],
)  # fmt: skip
def test_durability_is_that_which_was_read_back(had, wanted, found):
    assert status({"durability": wanted}, {"durability": had}) == found


def test_the_least_durable_trial_counts():
    assert status({"durability": "power-loss"}, {}, {"durability": "memory"}) == "fail"


AT = {"at_rate_per_s": 2000.0, "p99_ms": 50.0}
RATE, P99 = "keeps up with 2,000/s", "p99 ≤ 50 ms at 2,000/s"


@pytest.mark.parametrize(
    ("trials", "rate", "p99"),
    [
        ([{}], "pass", "pass"),
        ([{"throughput_per_s": 1900.0, "response_p99_ns": 51e6}], "fail", "fail"),
        ([{"throughput_per_s": 1930.0, "scheduled": 10_000}], "pass", "pass"),
        ([{"flags": '[{"code": "below-target"}]'}], "fail", "unknown"),
        ([{"timeout": 110}], "fail", "unknown"),
        ([{"rate_per_s": 5000.0, "throughput_per_s": 4999.0}], "pass", "pass"),
        ([{"rate_per_s": 5000.0}], "unknown", "unknown"),
        ([{"response_p99_ns": 80e6},
          {"rate_per_s": 8000.0, "throughput_per_s": 4800.0, "dropped": 40_000,
           "response_p99_ns": 45e6}], "pass", "fail"),
        ([{"rate_per_s": 3000.0, "throughput_per_s": 3000.0, "response_p99_ns": 80e6},
          {"rate_per_s": 5000.0, "throughput_per_s": 5000.0}], "pass", "unknown"),
        ([{"rate_per_s": 3000.0, "throughput_per_s": 2000.0},
          {"rate_per_s": 5000.0, "throughput_per_s": 5000.0}], "pass", "pass"),
        ([{"rate_per_s": 1000.0}], "unknown", "unknown"),
        ([{"rate_per_s": 1000.0, "throughput_per_s": 900.0, "response_p99_ns": 1e9}],
         "fail", "fail"),
        ([{}, {"throughput_per_s": 1900.0, "response_p99_ns": 51e6}], "unknown", "unknown"),
        ([{"response_p99_ns": None}], "pass", "unknown"),
        ([{"load": "closed", "rate_per_s": None}], "unknown", "unknown"),
        ([{"rate_per_s": 900.0, "throughput_per_s": 900.0, "failed_rate_per_s": 1500.0}],
         "fail", "unknown"),
        ([{"valid": False, "message": "x"}], "unknown", "unknown"),
        ([{}, {"rate_per_s": 9000.0, "throughput_per_s": 4000.0, "response_p99_ns": 9e9}],
         "pass", "pass"),
    ],
    ids=["held", "too slow", "fewer came by luck", "flagged", "errors", "more held",
         "more not held", "another dropped 40 %", "nearest too slow",
         "nearest not kept", "less held", "less not held", "mixed", "no percentile",
         "closed", "searched", "invalid", "a ramp past it"],
)  # fmt: skip
def test_a_rate_and_a_time_at_it(trials, rate, p99):
    found = judged(AT, *trials)
    assert {name: answer[0] for name, answer in found.items()} == {RATE: rate, P99: p99}


LOST = {"ok": 68_000, "dropped": 32_000, "response_p99_ns": None}


@pytest.mark.parametrize(
    ("trial", "p99", "reason"),
    [
        (LOST, "fail", "∞ in the worst of 1: too many of its operations failed"),
        (LOST | {"dropped": 0, "refused": 32_000}, "fail", "∞"),
        (LOST | {"dropped": 0, "unfinished": 32_000}, "fail", "∞"),
        ({"ok": 99_000, "unknown": 1_000}, "unknown", "not kept"),
        ({"ok": 98_999, "unknown": 1_001, "response_p99_ns": None}, "fail", "∞"),
        # Stored when response times were those of the survivors.
        (LOST | {"response_count": 68_000, "response_p99_ns": 70e6}, "fail", "70 ms"),
        ({"ok": 99_999, "timeout": 1, "response_count": 99_999}, "unknown", "older version"),
    ],
)
def test_what_failed_is_slower_than_any_limit(trial, p99, reason):
    found, why = judged(AT, trial)[P99]
    assert (found, reason in why) == (p99, True), why


def test_a_reason_has_the_number_that_decided():
    assert judged(AT, {})[P99] == ("pass", "at 2,000/s: 20 ms in the worst of 1")
    reason = judged(AT, {"load": "closed", "throughput_per_s": 5200.0})[RATE][1]
    assert reason == "no open load offered that much; closed loops reached 5,200/s"


def test_a_store_keeps_all_or_fails_or_nobody_knows():
    frame = pd.DataFrame(
        {"key": list("aabbc"), "status": ["pass", "fail", "pass", "unknown", "pass"]}
    )
    assert summary.kept(frame) == {"a": "fail", "b": "unknown", "c": "pass"}
    assert summary.requirements(pd.DataFrame([TRIAL]), {}).empty


def test_what_can_be_declared_can_be_required_and_is_judged(tmp_path: Path):
    """Every requirement of the schema has its place in the judgement, for every store."""
    text = SMALL + (
        "require: {durability: bounded-loss, occ: emulated, atomic_append: true, append_only: "
        "by-convention, idempotency: window, global_order: per-partition, gap_free_read: true, "
        "stream_read: indexed, subscription: poll, payload: exact, writers: one-per-partition, "
        "at_rate_per_s: 5, p50_ms: 1, p99_ms: 2, errors: 1%}\n"
    )
    require = loaded(tmp_path, text).require
    for kind in stores.kinds().values():
        for adapter in kind.variants.values():
            row = declaring(**asdict(adapter.declares(kind.options())))
            assert len(judged(require, row)) == len(require) - 1  # errors go with the rate


def test_requirements_do_not_change_what_is_offered(tmp_path: Path):
    plain, stated = loaded(tmp_path, SMALL), loaded(tmp_path, SMALL + "require: {occ: native}\n")
    assert plain.hash == stated.hash
    assert dict(stated.require) == {"occ": "native"}
    assert dict(plain.require) == {}


def test_an_unknown_word_in_a_declaration_is_not_taken_for_a_promise():
    assert status({"occ": "native"}, declaring(occ="perhaps")) == "unknown"


def checked(*cells):
    """A guarantee matrix of the store `made`: number, declared_by, mark, defect of each cell."""
    checks = [{"number": number, "name": f"check {number}", "requirement": "versioned",
               "promise": "", "declared_by": by} for number, by, _, _ in cells]  # fmt: skip
    results = [{"check": number, "mark": mark, "word": "declared and fails" if defect else "holds",
                "defect": defect, "why": "", "evidence": []}
               for number, _, mark, defect in cells]  # fmt: skip
    stores_ = [{"store": "made", "results": results}]
    return summary.matrix({"format_version": 1, "checks": checks, "stores": stores_})


def test_a_check_that_does_not_hold_fails_what_was_declared():
    trial = pd.DataFrame([TRIAL | declaring(occ="native", gap_free_read=True)])
    require = {"occ": "native", "gap_free_read": True, "durability": "process-crash"}
    found = summary.requirements(trial, require, checked(
        (16, "occ, tells_version", "✗", True), (17, "occ", "✓", False),
        (31, "subscription, gap_free_read", "✓", False), (9, "gap_free_read", "✓", False),
        (48, "durability", "?", False),
    )).set_index("requirement")  # fmt: skip
    assert found.loc["occ: native", "status"] == "fail"
    assert "check 16, check 16: declared and fails" in found.loc["occ: native", "reason"]
    assert found.loc["gap free read", "status"] == "pass"
    assert found.loc["gap free read", "reason"].endswith("; checks held: 31, 9")
    assert found.loc["durability: process-crash", "reason"] == (
        "power-loss, as read back from what ran"
    )


def test_the_checks_of_a_store_are_those_of_all_designs_on_it():
    """What its clients do is part of a row's key, and of no check."""
    made = TRIAL | declaring(occ="native")
    options = {"variant": "row", "options": "sync=off"}
    saga = pd.DataFrame([
        made | {"key": "made+saga"},
        made | options | {"key": "made:row{sync=off}+saga"},
    ])  # fmt: skip
    matrix = checked((16, "occ", "✗", True))
    found = summary.requirements(saga, {"occ": "native"}, matrix).set_index("key")["status"]
    assert dict(found) == {"made+saga": "fail", "made:row{sync=off}+saga": "pass"}
    matrix["key"] = "made:row{sync=off}"
    found = summary.requirements(saga, {"occ": "native"}, matrix).set_index("key")["status"]
    assert dict(found) == {"made+saga": "pass", "made:row{sync=off}+saga": "fail"}


def test_a_check_that_holds_makes_nothing_of_what_was_not_declared():
    trial = pd.DataFrame([TRIAL | declaring(occ="none")])
    matrix = checked((16, "occ", "✓", False))
    (found,) = summary.requirements(trial, {"occ": "native"}, matrix)["status"]
    assert found == "fail"
