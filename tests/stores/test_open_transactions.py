"""The transactions that checks hold open: unseen until they commit, gone if they roll back."""

from __future__ import annotations

import asyncio

from harness.domain.errors import StoreError

from .contract.support import ANY, append, events, ids, read_log, told
from .subject import Subject


async def _seen_meanwhile(subject: Subject) -> list:
    """A log that waits for the transaction shows nothing of it either."""
    try:
        async with asyncio.timeout(0.2):
            return await read_log(subject.store)
    except TimeoutError:
        return []


async def test_an_append_in_an_open_transaction_is_seen_after_its_commit(holding: Subject):
    batch = events(2)
    held = await holding.store.open_transaction()
    result = await held.append("order-1", batch, expected=ANY)
    assert result.version == told(holding, 1)
    assert await _seen_meanwhile(holding) == []
    await held.commit()
    assert ids(await read_log(holding.store)) == ids(batch)


async def test_what_was_rolled_back_is_gone_and_holds_nobody_up(holding: Subject):
    held = await holding.store.open_transaction()
    await held.append("order-1", events(2), expected=ANY)
    await held.roll_back()
    batch = events(1)
    await append(holding.store, "order-1", batch)
    assert ids(await read_log(holding.store)) == ids(batch)


async def test_an_early_transaction_appends_or_is_refused_with_a_typed_error(holding: Subject):
    held = await holding.store.open_transaction(early=True)
    await append(holding.store, "order-1")
    try:
        await held.append("order-1", events(1), expected=ANY)
    except StoreError:
        await held.roll_back()
    else:
        await held.commit()
    await append(holding.store, "order-1")
