"""gRPC is told what it must not do before it is imported."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from harness.domain import grpc_environment

FORKED = """
import asyncio, os
from harness.domain import grpc_environment
grpc_environment.prepare()
import grpc

async def threads_of_a_child():
    channel = grpc.aio.insecure_channel("127.0.0.1:1")
    channel.get_state(try_to_connect=True)
    await asyncio.sleep(0.3)
    if child := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        os._exit(0)
    os._exit(len(os.listdir("/proc/self/task")))

asyncio.run(threads_of_a_child())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
@pytest.mark.parametrize(("chosen", "threads"), [(None, False), ("true", True)])
def test_a_fork_starts_none_of_grpcs_threads_unless_the_user_wants_it(chosen, threads):
    """In its handler, which starts them, children hung."""
    others = {k: v for k, v in os.environ.items() if k != "GRPC_ENABLE_FORK_SUPPORT"}
    told = subprocess.run(
        [sys.executable, "-c", FORKED],
        env=others | ({"GRPC_ENABLE_FORK_SUPPORT": chosen} if chosen else {}),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert (int(told.stdout) > 1) == threads


@pytest.mark.parametrize(("chosen", "found"), [("", "NONE"), ("DEBUG", "DEBUG")])
def test_grpcs_own_log_is_off_unless_the_user_set_it(chosen, found, monkeypatch):
    monkeypatch.delenv("GRPC_TRACE", raising=False)
    monkeypatch.setenv("GRPC_VERBOSITY", chosen)
    grpc_environment.prepare()
    assert os.environ["GRPC_VERBOSITY"] == found
