"""Whose the looks of `make perf-profile` are, on a drawing such as py-spy makes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

PLACE = Path(__file__).parents[1] / "perf" / "flame.py"


@pytest.fixture(scope="module")
def flame():
    specification = importlib.util.spec_from_file_location("flame", PLACE)
    module = importlib.util.module_from_spec(specification)
    # dataclasses look a class's module up
    sys.modules["flame"] = module
    specification.loader.exec_module(module)
    yield module
    del sys.modules["flame"]


def drawn(*frames: tuple[int, int, int, str]) -> str:
    """A flame graph: depth, first look, looks and title of each frame."""
    return "".join(
        f"<g><title>{title} ({width:,} samples, 1.00%)</title>"
        f'<rect x="0%" y="{100 + 16 * depth}" width="1%" height="15" fill="rgb(1,2,3)"'
        f' fg:x="{x}" fg:w="{width}"/></g>'
        for depth, x, width, title in frames
    )


LOOP = "run_forever (/project/uvloop/loop.c:3)"
SERVE = "Client.serve (/somewhere/harness/load/loops.py:139)"
FETCH = "Connection.fetch (/site-packages/asyncpg/connection.py:7)"


def test_a_look_is_the_innermost_owners_and_a_system_call_is_the_kernels(flame):
    drawing = drawn(
        (0, 0, 100, "all"),
        (1, 0, 90, LOOP),
        (2, 0, 70, SERVE),
        (3, 0, 50, FETCH),
        (4, 0, 30, "write (libc.so.6)"),
        (4, 30, 5, "memcpy (libc.so.6)"),
        (4, 35, 4, "__Pyx_Coroutine_AmSend (loop.c:2115)"),
        (3, 50, 5, "&lt;genexpr&gt; (random.py:3)"),
        (2, 70, 10, "epoll_pwait (libc.so.6)"),
        (1, 90, 10, "_find_and_load (&lt;frozen importlib._bootstrap&gt;:11)"),
    )
    # 20 of asyncpg's looks are its own, of libc's strings or of Cython's helpers.
    assert flame.shares(drawing) == {"driver": 20, "lab": 20, "loop": 10, "kernel": 40}


def test_a_part_that_does_not_exist_is_one_line_and_exit_code_2(flame, capsys):
    for wanted in (["nope"], [], ["null", "memory"]):
        with pytest.raises(SystemExit) as ended:
            flame.main(wanted, ["null", "memory"])
        assert ended.value.code == 2
        told = capsys.readouterr().err
        assert told.count("\n") == 1
        assert "expected one of null, memory" in told
