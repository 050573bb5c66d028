"""gRPC's own log, which goes to standard error past Python's."""

from __future__ import annotations

import os

_CHOSEN_BY = ("GRPC_VERBOSITY", "GRPC_TRACE")


def keep_quiet() -> None:
    """Turn it off unless the user has set it: it tells what callers get as errors anyway.

    To be called before `grpc` is imported for the first time; later it has no effect.
    """
    if not any(os.environ.get(name) for name in _CHOSEN_BY):
        os.environ["GRPC_VERBOSITY"] = "NONE"
