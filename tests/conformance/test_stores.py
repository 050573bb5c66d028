"""The fast profile on real stores: what is declared holds, and known faults are found."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from harness.conformance import FAST, Judgement, Subject, Verdict, all_checks, judge, measure
from harness.conformance.bench import Reach
from harness.conformance.judging import Word
from harness.errors import StoreError
from harness.servers import Server
from harness.store import Endpoint
from harness.stores import kinds

from ..stores.subject import fresh

NOTHING: dict[int, str] = {}
WITHOUT_ORDER = {1: "changed", 2: "deleted"}
WITHOUT_IDS = {
    24: "a retry changed the stream",
    25: "a retry changed the stream",
    27: "a retry changed the stream",
    28: "a partly known batch was accepted",
    29: "a reused id changed the stream",
    49: "a retry did not leave each event once",
}
KNOWN: dict[str, dict[int, str]] = {
    "memory": NOTHING,
    "sqlite": NOTHING,
    "postgres": NOTHING,
    "postgres:coalesced": NOTHING,
    "postgres:global-lock": NOTHING,
    "postgres:table-lock": NOTHING,
    "postgres:counter": NOTHING,
    "postgres:row": {9: "passed over an event that committed late"},
    "postgres:template": {
        1: "a recorded event was changed",
        2: "a recorded event was deleted",
        9: "passed over an event that committed late",
        16: "racers won",
        17: "a losing racer got AppendRefused",
        21: "did not succeed",
        24: "an exact retry was refused",
        25: "an exact retry was refused",
        27: "an exact retry was refused",
        41: "every byte, NUL",
        42: "key order, repeated keys, a small exponent came back changed; NaN was refused",
        49: "the retry was refused",
    },
    "kafka": WITHOUT_IDS,
    "dynamodb": WITHOUT_ORDER,
    "dynamodb:template": {
        **WITHOUT_ORDER,
        7: "an acknowledged event is gone",
        9: "acknowledged events were never read",
        10: "the log inverts a stream",
        15: "a large read is incomplete",
        16: "16 of 16 racers won",
        17: "an append that expected 0 at version 2 was accepted",
        18: "an append that expected NO_STREAM was not refused",
        19: "an append that expected EXISTS was not refused",
        20: "an append that expected 2 was not refused",
        21: "an acknowledged event is gone",
        22: "an acknowledged event is gone",
        24: "a retry",
        27: "a retry",
        28: "a partly known batch was accepted",
        44: "metadata came back changed",
        49: "a retry did not leave each event once",
    },
}
"""What is known to fail and was never promised, and what is said of it."""
NEEDS_NO_SERVER = {26, 37, 48}
"""Out of reach where there is none to restart or kill."""
NEEDS_TRANSACTIONS = {11, 12, 13}
"""Out of reach where clients cannot hold one open."""
UNREACHED: dict[str, set[int]] = {
    "memory": NEEDS_NO_SERVER | NEEDS_TRANSACTIONS,
    "sqlite": NEEDS_NO_SERVER,
    "kafka": {1, 2},
    "dynamodb": NEEDS_TRANSACTIONS,
    "dynamodb:template": NEEDS_TRANSACTIONS,
}
"""Whatever else is not reached was to be."""


@pytest.mark.parametrize("name", KNOWN)
def test_what_is_declared_holds_and_what_is_known_to_fail_is_found(
    name: str, servers: Callable[[str], Server], runner: asyncio.Runner, tmp_path: Path
):
    kind = kinds()[name.partition(":")[0]]
    server = servers(kind.server) if kind.server else None
    endpoint = fresh(server.endpoint if server else Endpoint(address=str(tmp_path)))
    reach = Reach(kind.variants[name.partition(":")[2]], endpoint, kind.options())
    judged = runner.run(measured(Subject(name, reach, server)))
    defects = {each.check.number: each.finding.why for each in judged if each.defect}
    assert defects == {}
    failing = {each.check.number: each.finding.why for each in judged if each.word is Word.FACT}
    told = {number: why for number, why in KNOWN[name].items() if why in failing.get(number, "")}
    assert told == KNOWN[name], failing
    missed = {each.check.number for each in judged if each.finding.verdict is Verdict.NOT_REACHED}
    assert missed == UNREACHED.get(name, set())
    if name in ("postgres", "postgres:coalesced"):
        assert {each.finding.verdict for each in judged} == {Verdict.HOLDS}


async def measured(subject: Subject) -> list[Judgement]:
    store = await subject.reach.opened()
    await store.setup()
    await store.aclose()
    try:
        found = await measure(subject, all_checks().values(), FAST)
    finally:
        await torn_down(subject)
    provider = subject.reach.endpoint.provider
    return [
        judge(check, found[number], subject.guarantees, provider=provider)
        for number, check in all_checks().items()
    ]


async def torn_down(subject: Subject) -> None:
    """As soon as the server that was hurt last is itself again."""
    async with asyncio.timeout(60):
        while True:
            with suppress(StoreError):
                store = await subject.reach.opened()
                try:
                    await store.teardown()
                    return
                finally:
                    await store.aclose()
            await asyncio.sleep(1)
