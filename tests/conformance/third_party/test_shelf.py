"""The conformance suite of a third-party store: every check that it can be held to."""

from harness.conformance.pytest import conformance_of

from .shelf import ShelfOptions, ShelfStore

test_conformance = conformance_of(
    ShelfStore,
    ShelfOptions(),
    checks="3,4,5,6,7,8,9,10,14,15,16,17,18,19,20,21,22,23,30,40,41,42,43,44,45,46,50",
)
