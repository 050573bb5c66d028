"""Declared against measured, and what becomes of a check that hangs or breaks."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace
from types import SimpleNamespace

import pytest
from rich.console import Console

from harness.cli.filling import table
from harness.conformance import FAST, Finding, Subject, Verdict, all_checks, judge, measure
from harness.conformance.bench import Reach
from harness.conformance.check import Broken, NotReached, Step
from harness.conformance.judging import Word
from harness.conformance.matrix import Column, Matrix, summary
from harness.store import Endpoint
from harness.stores.memory import GUARANTEES, MemoryOptions, MemoryStore

RACE = all_checks()[16]
DECLARED = GUARANTEES
SILENT = replace(GUARANTEES, occ="none")


@pytest.mark.parametrize(
    ("verdict", "guarantees", "provider", "word"),
    [
        (Verdict.HOLDS, DECLARED, "native", Word.HOLDS),
        (Verdict.HOLDS, SILENT, "native", Word.HOLDS_NOT_PROMISED),
        (Verdict.FAILS, DECLARED, "native", Word.DEFECT),
        (Verdict.FAILS, SILENT, "native", Word.FACT),
        (Verdict.UNSUPPORTED, DECLARED, "native", Word.DEFECT),
        (Verdict.UNSUPPORTED, SILENT, "native", Word.UNSUPPORTED),
        (Verdict.NOT_REACHED, DECLARED, "native", Word.DEFECT_NOT_REACHED),
        (Verdict.NOT_REACHED, DECLARED, "none", Word.DEFECT_NOT_REACHED),
        (Verdict.NOT_REACHED, DECLARED, "external", Word.NOT_REACHED),
        (Verdict.NOT_REACHED, SILENT, "native", Word.NOT_REACHED),
    ],
)
def test_what_is_said_depends_on_what_was_declared(verdict, guarantees, provider, word):
    assert judge(RACE, Finding(verdict), guarantees, provider=provider).word is word


def test_what_a_technology_has_no_means_for_is_no_defect():
    finding = Finding(Verdict.NOT_REACHED, out_of_reach=True)
    assert not judge(RACE, finding, DECLARED, provider="native").defect


def test_a_requirement_is_as_good_as_its_worst_check():
    good = judge(RACE, Finding(Verdict.HOLDS), DECLARED)
    fact = judge(RACE, Finding(Verdict.FAILS), SILENT)
    bad = judge(RACE, Finding(Verdict.FAILS), DECLARED)
    missed = judge(RACE, Finding(Verdict.NOT_REACHED), SILENT)
    lacking = judge(RACE, Finding(Verdict.UNSUPPORTED), SILENT)
    assert summary([good, good]) is Word.HOLDS
    assert summary([good, missed]) is Word.NOT_REACHED
    assert summary([good, missed, lacking]) is Word.UNSUPPORTED
    assert summary([good, fact, missed]) is Word.FACT
    assert summary([good, fact, bad]) is Word.DEFECT
    assert summary([missed]) is Word.NOT_REACHED


@pytest.mark.parametrize(("guarantees", "exit_code"), [(DECLARED, 1), (SILENT, 0)])
def test_only_a_broken_declaration_is_an_error(guarantees, exit_code):
    judged = judge(RACE, Finding(Verdict.FAILS), guarantees)
    column = Column("memory", guarantees, {16: judged})
    assert Matrix([RACE], [column], FAST, 1).exit_code == exit_code


async def found(run, **profile) -> Finding:
    """What a check finds that runs this."""
    reach = Reach(MemoryStore, Endpoint(namespace="eslab_judging"), MemoryOptions())
    check = replace(RACE, run=run)
    return (await measure(Subject("memory", reach), [check], replace(FAST, **profile)))[16]


async def test_a_check_that_hangs_has_failed():
    async def hang(bench):
        await asyncio.sleep(60)

    finding = await found(hang, limit_s=0.05)
    assert (finding.verdict, finding.why) == (Verdict.FAILS, "not finished within 0.05 s")


async def test_a_drivers_own_time_limit_is_not_the_checks():
    async def stumble(bench):
        raise TimeoutError("the driver waited")

    assert (await found(stumble)).why == "TimeoutError: the driver waited"


async def test_what_an_adapter_lets_through_has_failed_with_its_class_and_one_line():
    async def stumble(bench):
        raise KeyError("order-1\nat line 3")

    finding = await found(stumble)
    assert finding.verdict is Verdict.FAILS
    assert finding.why.startswith("KeyError: ")
    assert finding.evidence[-1].who == "the check"


async def test_a_checks_own_words_are_kept():
    async def find(bench):
        raise Broken("two winners", [Step("racer 1", "append", "acknowledged")])

    async def miss(bench):
        raise NotReached("nobody met")

    finding = await found(find)
    assert (finding.why, finding.evidence[0].who) == ("two winners", "racer 1")
    assert (await found(miss)).why == "nobody met"


def test_names_give_way_to_the_counts_of_many_stores():
    stores = ("memory", "sqlite", "postgres", "postgres:row", "postgres:template", "kafka")
    cells = {key: {16: judge(RACE, Finding(Verdict.HOLDS), DECLARED),
                   17: judge(all_checks()[17], Finding(Verdict.FAILS), SILENT)}
             for key in stores}  # fmt: skip
    request = SimpleNamespace(checks=[RACE, all_checks()[17]])
    console = Console(file=io.StringIO(), width=90)
    console.print(table(request, cells, console.width))
    told = console.file.getvalue()
    assert told.count("✗1 ✓1") == len(stores)
    assert "  16 of racers" in told
    assert "…" in told
