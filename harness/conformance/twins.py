"""The same append several times at once: written once, and all are told alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from harness.conformance.bench import Bench, named
from harness.conformance.check import Broken, Step
from harness.conformance.racing import (
    CONNECTIONS,
    Attempt,
    answered,
    attempt,
    enough,
    met,
    strictest,
    together,
)
from harness.store import Adapter, ExpectedVersion, NewEvent, RecordedEvent, StreamState

TWINS, ROUNDS = 8, 10


async def race_twins(bench: Bench) -> None:
    """Raises `Broken` if a retry beside its original is written again, or told something else.

    Where ids are known within a window only, it may be refused: the window may not be open yet.
    """
    stores, together_in_all = await bench.writers(CONNECTIONS), 0
    for number in range(ROUNDS):
        expected = (strictest(bench), StreamState.ANY)[number % 2]
        stream, batch = bench.stream(), bench.events(2)
        racers = [
            _twin(f"twin {each}", stores[each % len(stores)], stream, batch, expected)
            for each in range(TWINS)
        ]
        attempts = await together(racers)
        found = await bench.read(stream) if await bench.exists(stream) else []
        read = Step("a reader", f"read {stream!r}", named(found))
        _once(attempts, found, read)
        if bench.guarantees.idempotency != "window":
            _none_refused(attempts)
        together_in_all += met([attempts])
    enough(together_in_all)


def _twin(
    who: str, store: Adapter, stream: str, batch: Sequence[NewEvent], expected: ExpectedVersion
) -> Callable[[], Awaitable[Attempt]]:
    return lambda: attempt(who, store, stream, batch, expected)


def _once(attempts: Sequence[Attempt], found: Sequence[RecordedEvent], read: Step) -> None:
    won = [each for each in attempts if each.won]
    shown = [each.step(attempts) for each in won[:2] or attempts[:2]]
    written = [event.id for event in found]
    batch = [event.id for event in attempts[0].batch]
    if written not in ([batch] if won else [batch, []]):
        raise Broken("an append sent several times at once was not written once", [*shown, read])
    other = [each for each in won if each.ended != won[0].ended]
    if other:
        two = [each.step(attempts) for each in (won[0], other[0])]
        raise Broken("an append sent several times at once was told different results", two)


def _none_refused(attempts: Sequence[Attempt]) -> None:
    refused = [each for each in attempts if not each.won]
    if refused and answered(attempts):
        won = [each for each in attempts if each.won]
        two = [each.step(attempts) for each in (*won[:1], refused[0])]
        raise Broken("a retry beside its original was refused", two)
