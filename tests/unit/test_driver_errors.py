"""One table a driver and a question: what becomes of what a driver raises."""

from __future__ import annotations

import asyncio

import pytest

from harness.domain.errors import AppendRefused, OutcomeUnknown, ReadFailed, ReadTimeout
from harness.stores._shared.driver_errors import Mapped, Meanings, bug, described, refused

SERVER = Meanings("Server")
APPENDING = Mapped(
    lambda: {
        KeyError: refused,
        IndexError: bug,
        LookupError: refused,
        TimeoutError: SERVER.unknown_late,
        OSError: SERVER.unknown,
    }
)


def test_an_error_is_mapped_by_the_first_row_that_fits_and_keeps_its_cause():
    raised = ConnectionResetError("gone")
    with pytest.raises(OutcomeUnknown) as caught, APPENDING:
        raise raised
    assert str(caught.value) == "Server: ConnectionResetError: gone"
    assert caught.value.__cause__ is raised
    with pytest.raises(OutcomeUnknown, match=r"^Server did not answer before the deadline$"):
        _raise_inside(TimeoutError())


def _raise_inside(error):
    with APPENDING:
        raise error


def test_a_refusal_keeps_the_drivers_class_name():
    with pytest.raises(AppendRefused) as caught, APPENDING:
        raise KeyError("taken")
    assert caught.value.reason == "KeyError"


@pytest.mark.parametrize(
    "error", [IndexError, ValueError, asyncio.CancelledError, ReadFailed, GeneratorExit]
)
def test_an_error_without_a_row_leaves_as_it_is(error):
    raised = error()
    with pytest.raises(error) as caught, APPENDING:
        raise raised
    assert caught.value is raised


def test_a_block_may_be_entered_inside_itself():
    with pytest.raises(OutcomeUnknown), APPENDING, APPENDING:
        raise OSError


def test_a_block_that_ends_well_asks_for_no_table():
    with Mapped(lambda: pytest.fail("the driver may not be installed")):
        pass


def test_reads_fail_or_come_late():
    reading = Mapped(lambda: {TimeoutError: SERVER.late, OSError: SERVER.failed})
    with pytest.raises(ReadTimeout), reading:
        raise TimeoutError
    with pytest.raises(ReadFailed, match=r"^Server: OSError$"), reading:
        raise OSError


def test_an_error_without_a_message_is_its_class_name():
    assert described(OSError()) == "OSError"
