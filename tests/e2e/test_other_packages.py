"""Stores and workloads that other packages offer through entry points."""

from __future__ import annotations

import json
import os

import pytest

from .command import ROOT, eslab

WORKLOAD = """
from harness.domain.store import StreamState
from harness.domain.workload import WorkloadKind, WorkloadParameters

class Parameters(WorkloadParameters):
    events: int = 2

class Place:
    def __init__(self, parameters):
        self._events = parameters.events

    async def prepare(self, store):
        pass

    async def run(self, store, cycle, rng):
        events = cycle.new_events(self._events)
        await store.append(cycle.choose_stream(rng), events, expected=StreamState.ANY)

def kind(name):
    return WorkloadKind(name, "place orders", Parameters, Place)

PLACE, APPEND, NOTHING = kind("place_orders"), kind("append"), "nothing"
"""
STORE = """
from dataclasses import replace
from harness.stores.memory import STORE as MEMORY

SQLITE = replace(MEMORY, name="sqlite")
"""


@pytest.fixture
def installed(tmp_path):
    """The environment with a package installed that has these entry points."""

    def install(entry_points):
        (tmp_path / "shop_workloads.py").write_text(WORKLOAD)
        (tmp_path / "shop_stores.py").write_text(STORE)
        about = tmp_path / "shop-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: shop\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(entry_points)
        return {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}

    return install


SHOP = "[eslab.workloads]\nplace = shop_workloads:PLACE\n"


def test_a_workload_of_another_package_is_listed_with_its_parameters(installed):
    listed = json.loads(eslab("list", "workloads", "--json", env=installed(SHOP)).stdout)
    place = {"workload": "place_orders", "summary": "place orders", "parameters": "events=2"}
    assert place in listed
    assert len(listed) > 5


def test_a_workload_of_another_package_runs_in_worker_processes(installed, tmp_path):
    file = tmp_path / "shop.yaml"
    file.write_text(
        "name: shop\nstores: [sqlite]\nworkload: {name: place_orders, events: 3}\n"
        "load: {closed: {workers: 2}, processes: 2}\nwarm_up_s: 0.1\nduration_s: 0.3\n"
    )
    done = eslab("run", file, "--out", tmp_path / "out", "--json", env=installed(SHOP))
    assert done.returncode == 0, done.stdout + done.stderr


BROKEN = {
    "a taken workload": (
        "[eslab.workloads]\nmine = shop_workloads:APPEND\n",
        "entry point mine = shop_workloads:APPEND of shop (eslab.workloads): "
        "the name 'append' is taken by harness.workloads.append; expected another name",
    ),
    "a taken store": (
        "[eslab.stores]\nmine = shop_stores:SQLITE\n",
        "entry point mine = shop_stores:SQLITE of shop (eslab.stores): "
        "the name 'sqlite' is taken by harness.stores.sqlite; expected another name",
    ),
    "another kind of thing": (
        "[eslab.workloads]\nmine = shop_workloads:NOTHING\n",
        "entry point mine = shop_workloads:NOTHING of shop (eslab.workloads): "
        "expected a WorkloadKind, got str",
    ),
    "a missing module": (
        "[eslab.workloads]\nmine = shop_carts:PLACE\n",
        "entry point mine = shop_carts:PLACE of shop (eslab.workloads): "
        "ModuleNotFoundError: No module named 'shop_carts'",
    ),
}


@pytest.mark.parametrize(("entry_points", "line"), BROKEN.values(), ids=list(BROKEN))
def test_one_line_refuses(installed, entry_points, line):
    done = eslab("list", env=installed(entry_points))
    assert (done.returncode, done.stderr) == (2, f"eslab: {line}\n")
