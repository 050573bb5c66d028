"""Carrying out a trial's faults: their times, what is not reached, what fails and what follows."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import pytest
import uvloop

from harness.domain.errors import UnsupportedByStore
from harness.domain.faults import Fault, FaultKind
from harness.run.faults import IN_PROCESS, FaultRun, Targets, failure, hurt

from .remembering import NEVER_MOUNTED, Remembering


class VirtualTime(asyncio.SelectorEventLoop):
    """Nobody waits: when all sleep, it is the time at which the first wakes up."""

    _now_s = 0.0

    def time(self) -> float:
        return self._now_s

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:
            self._now_s = max(self._now_s, self._scheduled[0].when())
        super()._run_once()


def carried_out(server, *faults: Fault, relay=None, load_s: float = 0.3, error=None):
    with asyncio.Runner(loop_factory=VirtualTime) as runner:
        loop = runner.get_loop()

        def clock() -> int:
            return round(loop.time() * 1e9)

        run = FaultRun(faults, Targets(server, relay, "clients bypass a relay"), clock)

        async def trial() -> None:
            async with run.during(clock()):
                await asyncio.sleep(load_s)
                if error is not None:
                    raise error

        with suppress(UnsupportedByStore):
            runner.run(trial())
    return run


def test_each_fault_is_begun_and_taken_back_in_the_order_of_its_times():
    server, relay = Remembering(), Remembering()
    run = carried_out(
        server,
        Fault(FaultKind.PAUSE_SERVER, 0.01, 0.02),
        Fault(FaultKind.SLOW_NETWORK, 0.02, 0.05, 9.0),
        Fault(FaultKind.KILL_SERVER, 0.1, 0.01),
        Fault(FaultKind.RESET_NETWORK, 0.15),
        relay=relay,
    )
    assert server.done == ["pause", "resume", "kill", "restart"]
    assert relay.done == ["slow 9.0", "restore", "target ", "reset"]
    for each in run.occurrences:
        assert each.carried_out
        assert each.began_ns <= each.ended_ns <= each.back_ns
    assert hurt(run.occurrences) == {FaultKind.KILL_SERVER}


def test_what_cannot_be_done_here_is_not_reached_and_the_rest_goes_on():
    server = Remembering()
    faults = (Fault(FaultKind.FILL_DISK, 0.01, 0.01), Fault(FaultKind.CUT_NETWORK, 0.02, 0.01),
              Fault(FaultKind.PAUSE_SERVER, 0.03, 0.01))  # fmt: skip
    run = carried_out(server, *faults)
    whys = [each.why_not for each in run.occurrences]
    assert whys == [NEVER_MOUNTED, "clients bypass a relay", ""]
    assert server.done == ["pause", "resume"]
    assert not failure(run.occurrences)


def test_a_store_without_a_server_has_no_fault_at_all():
    run = carried_out(None, *(Fault(kind, 0.01, 0.01) for kind in FaultKind))
    assert {each.why_not for each in run.occurrences} == {IN_PROCESS}
    assert not hurt(run.occurrences)


def test_what_a_server_refuses_only_when_asked_is_not_reached_either():
    server = Remembering(unsupported="pause")
    run = carried_out(server, Fault(FaultKind.PAUSE_SERVER, 0.01, 0.01))
    assert run.occurrences[0].why_not == "not with this kernel"
    assert not failure(run.occurrences)
    assert "resume" not in server.done


def test_a_fault_that_fails_when_tried_is_a_failure_with_its_reason():
    run = carried_out(Remembering("kill"), Fault(FaultKind.KILL_SERVER, 0.01, 0.01))
    assert failure(run.occurrences) == "kill server at 0.01 s for 0.01 s: it is gone"
    assert not run.server_is_down


def test_after_a_server_that_does_not_start_again_no_further_fault_is_tried():
    server = Remembering("restart")
    faults = Fault(FaultKind.KILL_SERVER, 0.01, 0.01), Fault(FaultKind.PAUSE_SERVER, 0.1, 0.01)
    run = carried_out(server, *faults)
    assert run.server_is_down
    assert "did not start again: it is gone" in failure(run.occurrences)
    assert run.occurrences[1].why_not == "the server had not started again"
    assert server.done == ["kill", "restart"]


def test_a_fault_that_comes_while_the_server_still_starts_is_not_reached():
    server = Remembering(takes_s=0.2)
    faults = Fault(FaultKind.KILL_SERVER, 0.01, 0.01), Fault(FaultKind.PAUSE_SERVER, 0.1, 0.01)
    run = carried_out(server, *faults)
    assert run.occurrences[1].why_not == "kill server at 0.01 s for 0.01 s was not over yet"
    assert run.occurrences[0].carried_out


def test_the_load_is_over_only_when_every_fault_is_taken_back():
    server = Remembering(takes_s=0.1)
    run = carried_out(server, Fault(FaultKind.KILL_SERVER, 0.01, 0.01), load_s=0.02)
    assert run.occurrences[0].carried_out


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_no_fault_comes_before_its_time(loop):
    faults = [Fault(FaultKind.RESET_NETWORK, 0.003 + 0.0037 * each) for each in range(20)]
    with asyncio.Runner(loop_factory=loop) as runner:
        run = FaultRun(faults, Targets(Remembering(), Remembering()))
        start_ns = time.monotonic_ns()

        async def trial() -> None:
            async with run.during(start_ns):
                await asyncio.sleep(0.1)

        runner.run(trial())
    for each in run.occurrences:
        assert each.carried_out, each
        assert each.began_ns - start_ns >= each.fault.at_s * 1e9


def test_a_load_that_fails_leaves_no_server_paused_and_no_network_cut():
    server, relay = Remembering(), Remembering()
    faults = (
        Fault(FaultKind.PAUSE_SERVER, 0.01, 60.0),
        Fault(FaultKind.CUT_NETWORK, 0.01, 60.0),
        Fault(FaultKind.KILL_SERVER, 90.0, 1.0),
    )
    error = UnsupportedByStore("expected versions")
    run = carried_out(server, *faults, relay=relay, load_s=0.02, error=error)
    assert server.done == ["pause", "resume"]
    assert relay.done == ["cut", "restore"]
    assert run.occurrences[2].why_not == "the load had ended"
