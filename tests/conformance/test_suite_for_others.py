"""What the contract suite for other people's stores does with what it finds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.conformance import FAST, all_checks
from harness.conformance.pytest import conformance_of

from .third_party.shelf import ShelfOptions, ShelfStore

QUICK = replace(FAST, seconds=0.2, processes=0)


class Boasts(ShelfStore):
    """Declares what it does not keep."""

    @classmethod
    def declares(cls, options):
        return replace(super().declares(options), idempotency="durable")


def ended(store: type[ShelfStore], number: int) -> None:
    conformance_of(store, ShelfOptions(), profile=QUICK)(all_checks()[number])


@pytest.mark.parametrize("number", [3, 9, 10, 16, 17, 21, 22])
def test_what_holds_passes(number: int):
    ended(ShelfStore, number)


def test_what_is_declared_and_fails_is_a_failure_with_its_evidence():
    with pytest.raises(pytest.fail.Exception, match=r"declared and fails(.|\n)*again: append"):
        ended(Boasts, 24)


@pytest.mark.parametrize(
    ("number", "why"),
    [(24, "fails, not promised"), (31, "declared unsupported"), (26, "not reached")],
)
def test_what_was_not_promised_or_not_reached_is_a_skip_that_says_so(number: int, why: str):
    with pytest.raises(pytest.skip.Exception, match=why):
        ended(ShelfStore, number)
