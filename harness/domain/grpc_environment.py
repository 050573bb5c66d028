"""What gRPC reads in the environment, once, when it is imported."""

from __future__ import annotations

import os

_LOG_CHOSEN_BY = ("GRPC_VERBOSITY", "GRPC_TRACE")


def prepare() -> None:
    """Choose what the user has not chosen. It has no effect once `grpc` is imported.

    Its log goes to standard error past Python's, and tells what callers get as errors anyway.

    Its support for forks stops its threads around each fork, for a child that goes on with its
    channels. The lab's children become other programs. But a server that is started under another
    account is forked, and now and then such a child hung in gRPC's handler, and the lab with it.
    """
    if not any(os.environ.get(name) for name in _LOG_CHOSEN_BY):
        os.environ["GRPC_VERBOSITY"] = "NONE"
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
