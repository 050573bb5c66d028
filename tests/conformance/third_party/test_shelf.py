"""The whole conformance suite of a third-party store."""

from harness.conformance.pytest import conformance_of

from .shelf import ShelfOptions, ShelfStore

test_conformance = conformance_of(ShelfStore, ShelfOptions(), checks="4,6,7,14,18,19,20,23,46,50")
