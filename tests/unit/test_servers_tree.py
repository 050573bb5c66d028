"""Signals to a whole process tree, and its costs, on trees of Python processes."""

import asyncio
import signal
import subprocess
import sys
import time

import psutil
import pytest

from harness.servers.native import tree

FORKING = """
import os, time
for _ in range(20):
    if os.fork() == 0:
        time.sleep(300)
        os._exit(0)
    time.sleep(0.01)
time.sleep(300)
"""
SPINNING = """
import os, time
def spin():
    until = time.process_time() + 0.3
    while time.process_time() < until: pass
if os.fork() == 0:
    spin()
    os._exit(0)
os.wait()
spin()
print("spun", flush=True)
time.sleep(300)
"""
SHARING = """
import mmap, os, time
shared = mmap.mmap(-1, 64 << 20)
shared.write(b"x" * (64 << 20))
for _ in range(4):
    if os.fork() == 0:
        shared.seek(0); shared.read()
        print("mapped", flush=True)
        time.sleep(300)
time.sleep(300)
"""


@pytest.fixture
def python():
    """A root that runs a script; its whole tree is ended after the test."""
    roots = []

    def run(script, lines=0):
        root = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", script], stdout=subprocess.PIPE, text=True
        )
        roots.append(root)
        for _ in range(lines):
            root.stdout.readline()
        return psutil.Process(root.pid)

    yield run
    for root in roots:
        asyncio.run(tree.kill(psutil.Process(root.pid)))
        root.wait()
        root.stdout.close()


def statuses(members):
    return {process.status() for process in members if process.is_running()}


def test_a_kill_gets_every_member_of_a_tree_that_is_still_forking(python):
    root = python(FORKING)
    while len(tree.members(root)) < 4:
        time.sleep(0.005)
    seen = tree.members(root)
    asyncio.run(tree.kill(root))
    assert statuses(seen) <= {psutil.STATUS_ZOMBIE}


def test_a_paused_tree_does_nothing_until_it_is_resumed(python):
    root = python(FORKING)
    while len(tree.members(root)) < 4:
        time.sleep(0.005)
    tree.pause(root)
    time.sleep(0.1)
    members = tree.members(root)
    assert statuses(members) == {psutil.STATUS_STOPPED}
    time.sleep(0.1)
    assert len(tree.members(root)) == len(members)
    tree.resume(root)
    time.sleep(0.1)
    assert psutil.STATUS_STOPPED not in statuses(tree.members(root))


def test_the_cpu_of_children_that_have_ended_still_counts(python):
    root = python(SPINNING, lines=1)
    usage = tree.usage(root)
    assert 0.55 < usage.cpu_s < 0.9


def test_cpu_is_told_finer_than_the_clock_tick_of_10_ms(python):
    root = python("print(flush=True); import time; time.sleep(300)", lines=1)
    cpu_s = tree.usage(root).cpu_s
    assert cpu_s > 0
    assert abs(cpu_s * 100 - round(cpu_s * 100)) > 1e-6


def test_memory_that_members_share_is_counted_once(python):
    root = python(SHARING, lines=4)
    memory_bytes = tree.usage(root).memory_bytes
    assert 64 << 20 < memory_bytes < 160 << 20
    assert sum(p.memory_info().rss for p in tree.members(root)) > 300 << 20


def test_a_tree_that_has_gone_has_no_usage_and_takes_no_signal():
    with subprocess.Popen(["sleep", "300"]) as process:
        root = psutil.Process(process.pid)
        asyncio.run(tree.kill(root))
    assert process.returncode == -signal.SIGKILL
    assert tree.members(root) == []
    assert tree.usage(root) is None
    assert tree.pause(root) == []
    tree.resume(root)
