"""Declared against measured, and what becomes of a check that hangs or breaks."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace
from types import SimpleNamespace

import pytest
from rich.console import Console

from harness.cli.conformance_matrix import table
from harness.conformance import (
    FAST,
    CheckResult,
    CheckVerdict,
    Column,
    Conclusion,
    Matrix,
    StoreUnderTest,
    all_checks,
    judge,
    measure,
    summary,
)
from harness.conformance.framework.check_result import Broken, NotReached, Step
from harness.domain.factory import StoreFactory
from harness.domain.store import Endpoint
from harness.stores.memory.store import GUARANTEES, MemoryOptions, MemoryStore

RACE = all_checks()[16]
DECLARED = GUARANTEES
SILENT = replace(GUARANTEES, occ="none")


@pytest.mark.parametrize(
    ("verdict", "guarantees", "provider", "conclusion"),
    [
        (CheckVerdict.HOLDS, DECLARED, "native", Conclusion.HOLDS),
        (CheckVerdict.HOLDS, SILENT, "native", Conclusion.HOLDS_NOT_PROMISED),
        (CheckVerdict.FAILS, DECLARED, "native", Conclusion.DECLARED_AND_FAILS),
        (CheckVerdict.FAILS, SILENT, "native", Conclusion.FAILS_NOT_PROMISED),
        (CheckVerdict.UNSUPPORTED, DECLARED, "native", Conclusion.DECLARED_AND_FAILS),
        (CheckVerdict.UNSUPPORTED, SILENT, "native", Conclusion.UNSUPPORTED),
        (CheckVerdict.NOT_REACHED, DECLARED, "native", Conclusion.DECLARED_NOT_REACHED),
        (CheckVerdict.NOT_REACHED, DECLARED, "none", Conclusion.DECLARED_NOT_REACHED),
        (CheckVerdict.NOT_REACHED, DECLARED, "external", Conclusion.NOT_REACHED),
        (CheckVerdict.NOT_REACHED, SILENT, "native", Conclusion.NOT_REACHED),
    ],
)
def test_the_conclusion_depends_on_what_was_declared(verdict, guarantees, provider, conclusion):
    assert judge(RACE, CheckResult(verdict), guarantees, provider=provider).conclusion is conclusion


def test_boundaries_are_missing_where_they_are_declared_and_not_offered():
    check, result = all_checks()[61], CheckResult(CheckVerdict.UNSUPPORTED)
    assert judge(check, result, DECLARED).conclusion is Conclusion.UNSUPPORTED
    liar = replace(DECLARED, boundaries="native")
    assert judge(check, result, liar).conclusion is Conclusion.DECLARED_AND_FAILS


def test_what_a_technology_has_no_means_for_is_no_defect():
    result = CheckResult(CheckVerdict.NOT_REACHED, out_of_reach=True)
    assert not judge(RACE, result, DECLARED, provider="native").defect


def test_a_requirement_is_as_good_as_its_worst_check():
    good = judge(RACE, CheckResult(CheckVerdict.HOLDS), DECLARED)
    fact = judge(RACE, CheckResult(CheckVerdict.FAILS), SILENT)
    bad = judge(RACE, CheckResult(CheckVerdict.FAILS), DECLARED)
    missed = judge(RACE, CheckResult(CheckVerdict.NOT_REACHED), SILENT)
    lacking = judge(RACE, CheckResult(CheckVerdict.UNSUPPORTED), SILENT)
    assert summary([good, good]) is Conclusion.HOLDS
    assert summary([good, missed]) is Conclusion.NOT_REACHED
    assert summary([good, missed, lacking]) is Conclusion.UNSUPPORTED
    assert summary([good, fact, missed]) is Conclusion.FAILS_NOT_PROMISED
    assert summary([good, fact, bad]) is Conclusion.DECLARED_AND_FAILS
    assert summary([missed]) is Conclusion.NOT_REACHED


@pytest.mark.parametrize(("guarantees", "exit_code"), [(DECLARED, 1), (SILENT, 0)])
def test_only_a_broken_declaration_is_an_error(guarantees, exit_code):
    judged = judge(RACE, CheckResult(CheckVerdict.FAILS), guarantees)
    column = Column("memory", guarantees, {16: judged})
    assert Matrix([RACE], [column], FAST, 1).exit_code == exit_code


async def result_of(run, **profile) -> CheckResult:
    """The result of a check that runs this."""
    factory = StoreFactory(MemoryStore, Endpoint(namespace="eslab_judging"), MemoryOptions())
    check = replace(RACE, run=run)
    async with factory.set_up():
        under_test = StoreUnderTest("memory", factory)
        results = await measure(under_test, [check], replace(FAST, **profile))
    return results[16]


async def test_a_check_that_hangs_is_not_reached():
    async def hang(context):
        await asyncio.sleep(60)

    result = await result_of(hang, limit_s=0.05)
    assert (result.verdict, result.why) == (CheckVerdict.NOT_REACHED, "not finished within 0.05 s")


async def test_a_drivers_own_time_limit_is_not_the_checks():
    async def stumble(context):
        raise TimeoutError("the driver waited")

    assert (await result_of(stumble)).why == "TimeoutError: the driver waited"


async def test_what_an_adapter_lets_through_is_named_by_its_class_in_one_line():
    async def stumble(context):
        raise KeyError("order-1\nat line 3")

    result = await result_of(stumble)
    assert result.verdict is CheckVerdict.NOT_REACHED
    assert result.why.startswith("KeyError: ")
    assert result.evidence[-1].who == "the check"


async def test_a_checks_own_words_are_kept():
    async def find(context):
        raise Broken("two winners", [Step("racer 1", "append", "acknowledged")])

    async def miss(context):
        raise NotReached("nobody met")

    result = await result_of(find)
    assert (result.why, result.evidence[0].who) == ("two winners", "racer 1")
    assert (await result_of(miss)).why == "nobody met"


def test_names_break_into_lines_for_the_counts_of_many_stores():
    stores = ("memory", "sqlite", "postgres", "postgres:row", "postgres:template", "kafka")
    cells = {key: {16: judge(RACE, CheckResult(CheckVerdict.HOLDS), DECLARED),
                   17: judge(all_checks()[17], CheckResult(CheckVerdict.FAILS), SILENT)}
             for key in stores}  # fmt: skip
    request = SimpleNamespace(checks=[RACE, all_checks()[17]])
    console = Console(file=io.StringIO(), width=90)
    console.print(table(request, cells, console.width))
    printed = console.file.getvalue()
    assert printed.count("✗1 ✓1") == len(stores)
    assert "  16 of racers" in printed
    assert "…" not in printed
