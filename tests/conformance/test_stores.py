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

KNOWN: dict[str, set[int]] = {
    "memory": set(),
    "sqlite": set(),
    "postgres": set(),
    "postgres:coalesced": set(),
    "postgres:row": {9},
    "postgres:template": {1, 2, 9, 16, 17, 21, 24, 25, 27, 41, 42},
    "kafka": {24, 25, 27, 28, 29},
    "dynamodb": {1, 2},
    "dynamodb:template": {1, 2, 7, 9, 10, 15, 16, 17, 18, 19, 20, 21, 22, 24, 27, 28, 44},
}
"""What is known to fail, and was never promised."""


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
    failing = {each.check.number for each in judged if each.word is Word.FACT}
    assert failing >= KNOWN[name]
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
