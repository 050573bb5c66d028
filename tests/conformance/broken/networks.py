"""Faults that show while the network between a client and its server fails, and not before."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from uuid import uuid4

from harness.domain.errors import NotSent, NotWritten, OutcomeUnknown, WrongExpectedVersion
from harness.domain.store import AppendResult, StreamState

from .machine import HASTE_S, Served

PATIENCE_S = 2.0
"""Of a driver, with a network that loses answers."""
ANY, EXISTS, NO_STREAM = StreamState.ANY, StreamState.EXISTS, StreamState.NO_STREAM


class TakesADeadlineForANo(Served):
    """What has no answer by its deadline is said not to be sent, and arrives later."""

    async def append_over_a_cut(self, stream, events, expected):
        try:
            return await super().append_over_a_cut(stream, events, expected)
        except OutcomeUnknown as error:
            raise NotSent("the deadline passed") from error


class AcknowledgesWhatItHasSent(Served):
    """The client's buffer answers, and a connection that breaks takes it away."""

    async def append_over_a_cut(self, stream, events, expected):
        with suppress(OutcomeUnknown):
            await super().append_over_a_cut(stream, events, expected)
        return AppendResult(len(self.log.streams.get(stream, ())) + len(events) - 1, None)


class SendsAgainOverAnotherConnection(Served):
    """Both copies arrive, the second under new ids: the driver makes them as it sends."""

    async def append_over_a_cut(self, stream, events, expected):
        twin = [replace(event, id=uuid4()) for event in events]
        self.wire.waiting.append(lambda: self.log.append(stream, twin, ANY))
        return await super().append_over_a_cut(stream, events, expected)


class NeverConnectsAgain(Served):
    """A connection that was cut stays in the pool for ever."""

    was_cut = False

    async def append(self, stream, events, *, expected):
        if self.was_cut and not self.wire.is_cut:
            await asyncio.sleep(HASTE_S)
            raise OutcomeUnknown("no answer")
        return await super().append(stream, events, expected=expected)

    async def append_over_a_cut(self, stream, events, expected):
        self.was_cut = True
        return await super().append_over_a_cut(stream, events, expected)


class WaitsForEver(Served):
    """Without a deadline of its own, an append that met a cut has no end."""

    async def append_over_a_cut(self, stream, events, expected):
        await asyncio.Event().wait()


class TurnsSuccessIntoAConflict(Served):
    """The driver sends again by itself, and tells the caller the second answer."""

    async def append_unanswered(self, stream, events, expected):
        with suppress(NotWritten):
            self.log.append(stream, events, expected)
        try:
            await asyncio.wait_for(self.wire.changed.wait(), PATIENCE_S)
        except TimeoutError:
            raise OutcomeUnknown("no answer") from None
        if expected is ANY or expected is EXISTS:
            raise OutcomeUnknown("no answer")
        actual = len(self.log.streams.get(stream, ())) - 1
        raise WrongExpectedVersion(stream, expected, actual)


class Forgetful(Served):
    """Base of stores that forget the ids of what they could not answer, under one expectation."""

    def forgets(self, expected):
        raise NotImplementedError

    async def append_unanswered(self, stream, events, expected):
        try:
            return await super().append_unanswered(stream, events, expected)
        finally:
            if self.forgets(expected):
                for event in events:
                    self.log.by_id.pop(event.id.int, None)


class ForgetsUnansweredIdsUnderAny(Forgetful):
    def forgets(self, expected):
        return expected is ANY


class ForgetsUnansweredIdsUnderExists(Forgetful):
    def forgets(self, expected):
        return expected is EXISTS


class ConflictsWithItselfAtExactVersions(Forgetful):
    def forgets(self, expected):
        return isinstance(expected, int)


class ConflictsWithItselfUnderNoStream(Forgetful):
    def forgets(self, expected):
        return expected is NO_STREAM
