"""Where generator and servers run: what decides it, what hinders it, and where it is told."""

from __future__ import annotations

import asyncio
import ctypes
import os
import platform
import struct
import subprocess
import sys
from dataclasses import replace

import pytest

from harness.cli.shared import catalogue
from harness.domain.errors import BadInput
from harness.domain.flags import Flag, FlagCode, sentence
from harness.domain.placement import Placement, cores_text, placement_of
from harness.domain.store import Guarantees
from harness.run.checkout_runner import Checkout, Order
from harness.run.worker_allocation import Cores, Machine, busy_cores, chosen, decided, parsed
from harness.scenario import load
from tests.e2e.command import ESLAB, ROOT, eslab
from tests.made_run import POSTGRES, Made, made_run

HALF = Made((POSTGRES,), repetitions=1, operations=200, keep_samples=False)
NATIVE = {"postgres": "native"}
TWO = Machine((0, 1))


@pytest.fixture(scope="module")
def scenario():
    return load(ROOT / "scenarios" / "quick.yaml", catalogue())


@pytest.fixture
def decide(scenario):
    """The decision for a machine; nothing is tried out."""

    def decision(machine=TWO, ways=NATIVE, asked="auto", processes=1, libraries=(), refused=""):
        trials = tuple(replace(trial, processes=processes) for trial in scenario.trials)
        offered = replace(scenario, trials=trials)
        return decided(asked, machine, ways, offered, libraries, lambda _: refused)

    return decision


def test_two_cores_are_one_a_side_and_more_leave_servers_at_least_half(decide):
    eight = Machine(tuple(range(8)))
    assert decide().cores == Cores(frozenset({1}), frozenset({0}))
    assert decide(eight).cores == Cores(frozenset({6, 7}), frozenset(range(6)))
    assert decide(eight, processes=2).cores.generator == {5, 6, 7}
    for many in ("auto", 16):
        assert decide(eight, processes=many).cores.generator == {4, 5, 6, 7}
    limited = decide(replace(eight, limit_cores=4.0), processes="auto")
    assert limited.cores == Cores(frozenset({6, 7}), frozenset(range(6)))


def test_both_threads_of_a_core_are_on_one_side(tmp_path, monkeypatch):
    for core in range(4):
        topology = tmp_path / f"cpu{core}" / "topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(f"{core % 2},{core % 2 + 2}\n")
        (tmp_path / f"cpu{core}" / "cpu_capacity").write_text("1024\n")
    monkeypatch.setattr("harness.run.worker_allocation.available", lambda: [0, 1, 2, 3])
    machine = Machine.here(tmp_path)
    assert machine.cores == (0, 2, 1, 3)
    assert machine.speeds == dict.fromkeys(range(4), 1024)


def test_the_line_says_what_was_decided_and_why(decide):
    assert str(decide(libraries=["sqlite", "memory"])) == (
        "placement: generator on core 1, servers on core 0: auto, 2 cores and native servers;"
        " no server, every core: memory, sqlite"
    )
    lines = {
        "generator on every core: the stores have no server": decide(ways={}),
        "generator and servers share all cores: --pin off": decide(asked="off"),
        "generator on core 1, servers on core 0: --pin on": decide(asked="on"),
        "generator on every core: auto, external servers are not the lab's to place": decide(
            ways={"postgres": "external"}
        ),
    }
    for line, decision in lines.items():
        assert decision.why == line
        assert decision.flag is None
        assert decision.described()["apart"] is (decision.cores is not None)


HINDERED = {
    "there is only one": (replace(TWO, cores=(3,)), ""),
    "control groups allow the time of 0.5, which is less than one a side": (
        replace(TWO, limit_cores=0.5),
        "",
    ),
    "they are of two kinds, fast (0-1) and slow (2-3)": (
        Machine((0, 1, 2, 3), speeds={0: 5_100_000, 1: 5_000_000, 2: 3_900_000, 3: 3_900_000}),
        "",
    ),
    "the system does not let the lab choose them (Operation not permitted)": (
        TWO,
        "Operation not permitted",
    ),
    "other programs used about 1 of them as the run began": (replace(TWO, busy_cores=1.2), ""),
    "this system keeps no process on chosen ones": (replace(TWO, linux=False), ""),
}


@pytest.mark.parametrize("asked", ["auto", "on"])
@pytest.mark.parametrize("why", HINDERED)
def test_a_hindrance_is_one_line_and_a_flag_and_the_run_goes_on(decide, why, asked):
    machine, refused = HINDERED[why]
    decision = decide(machine, asked=asked, refused=refused)
    if asked == "on" and machine.busy_cores:
        assert decision.cores, "whoever asks for it on a busy machine gets it"
        return
    assert decision.cores is None
    assert decision.flag.code == FlagCode.NOT_APART
    assert str(decision) == f"placement: generator and servers share all cores: {why}"


def test_fast_cores_of_one_kind_and_a_limit_of_whole_cores_hinder_nothing(decide):
    assert decide(replace(TWO, speeds={0: 4_800_000, 1: 5_100_000})).cores
    assert decide(replace(TWO, limit_cores=2.0)).cores
    assert Machine(tuple(range(64)), limit_cores=3.5).whole_cores == 3


def test_servers_that_cannot_be_kept_on_cores_are_named():
    flag = Flag(FlagCode.NOT_APART, {"cause": "servers", "servers": "kafka"})
    assert sentence([flag]) == "not kept on cores of their own: kafka"


def test_only_three_words_can_be_asked_and_pin_alone_means_on():
    with pytest.raises(BadInput, match="--pin no: expected auto, on or off"):
        parsed("no")
    for words in (["--pin", "scenarios/quick.yaml"], ["scenarios/quick.yaml", "--pin", "off"]):
        told = eslab("run", *words, "--stores", "memory", "--repeat", 1, "--dry-run")
        assert told.returncode == 0, told.stderr
        assert "placement: generator on every core" in told.stdout


def dry_run(preparation):
    """What a dry run says of the placement, after `preparation` in its process.

    It is asked to pin, however busy the machine is.
    """
    words = ["run", "scenarios/quick.yaml", "--stores", "postgres", "--repeat", "1", "--dry-run"]
    told = subprocess.run(
        [*ESLAB, *words, "--servers", "native", "--pin"], cwd=ROOT, capture_output=True, text=True,
        check=True, preexec_fn=preparation,
    )  # fmt: skip
    return next(line for line in told.stdout.splitlines() if line.startswith("placement: "))


AFFINITY = {"x86_64": 203, "aarch64": 122}


def forbid_affinity():
    """A filter of the kernel, as container engines set them: no process chooses its cores."""
    number = AFFINITY[platform.machine()]
    load_number, if_equal, answer = 0x20, 0x15, 0x06
    refuse, allow = 0x00050000 | 1, 0x7FFF0000  # EPERM
    steps = [(load_number, 0, 0, 0), (if_equal, 0, 1, number), (answer, 0, 0, refuse),
             (answer, 0, 0, allow)]  # fmt: skip
    filters = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("HL", len(steps), ctypes.addressof(filters)))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    assert prctl(38, 1, 0, 0, 0) == 0, "no new privileges"
    assert prctl(22, 2, ctypes.byref(program), 0, 0) == 0, "seccomp"


LINUX = hasattr(os, "sched_setaffinity")


@pytest.mark.skipif(not LINUX, reason="not Linux")
def test_one_core_is_seen_for_real():
    core = min(os.sched_getaffinity(0))
    line = dry_run(lambda: os.sched_setaffinity(0, {core}))
    assert line == "placement: generator and servers share all cores: there is only one"


@pytest.mark.skipif(
    not LINUX or platform.machine() not in AFFINITY or len(os.sched_getaffinity(0)) < 2,
    reason="not Linux, a processor whose number of the call is not known, or one core",
)
def test_a_system_that_forbids_it_is_met_for_real():
    assert dry_run(forbid_affinity).endswith("choose them (Operation not permitted)")


def test_lists_of_cores_are_written_as_linux_writes_them():
    assert cores_text([5, 0, 2, 1]) == "0-2,5"
    assert cores_text([]) == ""


SHARED = {"environment": {"cpu": {"affinity": [0, 1]}}}
PINNED = SHARED | {
    "pinned": {"generator_cores": [1], "server_cores": [0], "technologies": ["postgres"]}
}


@pytest.mark.parametrize(
    ("store", "provider", "manifest", "words"),
    [
        ("postgres", "native", SHARED, "generator and server share cores 0-1"),
        ("postgres", "native", PINNED, "generator on core 1, server on core 0"),
        ("kafka", "native", PINNED, "generator on core 1, server elsewhere"),
        ("postgres", "external", SHARED, "generator on cores 0-1, server elsewhere"),
        ("sqlite", "none", SHARED, "no server, generator on cores 0-1"),
        ("postgres", "native", {}, ""),
    ],
)
def test_rows_of_older_labs_are_placed_by_their_manifest(store, provider, manifest, words):
    row = {"store": store, "provider": provider, "generator_cores": None}
    assert str(placement_of(row, manifest)) == words


def test_a_row_says_it_itself():
    cells = Placement("1", "0", served=True).cells()
    assert placement_of({"provider": "native", **cells}, PINNED).apart


GUARANTEES = Guarantees(
    occ="native", atomic_append=True, global_order="total", gap_free_read=True,
    idempotency="none", stream_read="indexed", subscription="poll", append_only="enforced",
    durability="memory", writers="many",
)  # fmt: skip


def used(share, per_process_per_s=10_000):
    """A probe in which each process needs this share of a core."""

    async def probe(trial):
        ended = round(per_process_per_s * trial.processes)
        return {
            "ok": ended, "conflict": 0, "refused": 0, "timeout": 0, "unknown": 0, "measured_s": 1.0,
            "processes": trial.processes, "busiest_worker_cpu_s": share(trial.processes),
        }  # fmt: skip

    return probe


@pytest.mark.parametrize(
    ("share", "most", "processes"),
    [
        (lambda _: 0.4, 4, 1),
        (lambda count: 0.9 if count == 1 else 0.5, 4, 2),
        (lambda _: 0.95, 3, 3),
        (lambda _: 0.95, 1, 1),
    ],
)
def test_auto_takes_more_processes_before_one_is_full(scenario, share, most, processes):
    trial = replace(scenario.trials[0], processes="auto")
    took = asyncio.run(chosen(trial, GUARANTEES, served=True, most=most, probe=used(share)))
    assert took.processes == processes
    if most == 1:
        assert not took.tried
    else:
        assert took.tried[0].full_at_per_s == pytest.approx(10_000 / share(1))
        assert f"one used {share(1):.0%} of a core at 10,000/s" in took.why


def test_auto_takes_one_process_for_a_library_and_for_one_writer(scenario):
    trial, probe = scenario.trials[0], used(lambda _: 0.9)
    one = replace(GUARANTEES, writers="one")
    library = asyncio.run(chosen(trial, GUARANTEES, served=False, most=4, probe=probe))
    single = asyncio.run(chosen(trial, one, served=True, most=4, probe=probe))
    assert (library.processes, single.processes) == (1, 1)
    assert "library" in library.why
    assert "one writer" in single.why


def test_later_halves_of_two_commits_are_placed_as_the_first_was(tmp_path):
    order = Order(ROOT / "scenarios" / "quick.yaml", "postgres", (), "native")
    for placement, pin in (({"apart": True}, "on"), ({"apart": False}, "off"), ({}, "auto")):
        half = made_run(tmp_path / pin, replace(HALF, manifest={"placement": placement}))
        assert order.placed_like(half).pin == pin
        assert replace(order, pin="off").placed_like(half).pin == "off"
    older = tmp_path / "older" / "harness" / "__init__.py"
    older.parent.mkdir(parents=True)
    older.touch()
    assert not Checkout("older", tmp_path / "older", "").takes_pin
    assert Checkout("working tree", ROOT, "").takes_pin
    assert Checkout("an adapter's package", tmp_path, "").takes_pin


def test_others_on_the_labs_cores_are_seen_and_its_own_work_is_not():
    """A busy machine can only add to what is seen of one more program."""
    if not LINUX:
        pytest.skip("not Linux")
    core = max(os.sched_getaffinity(0))
    spin = f"import os; os.sched_setaffinity(0, {{{core}}}); print(flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", spin], stdout=subprocess.PIPE) as spinning:
        spinning.stdout.readline()
        try:
            seen = busy_cores(Machine((core,)))
        finally:
            spinning.kill()
    assert seen > 0.2, "a whole core, but for what a hypervisor takes away"
    assert busy_cores(Machine((10_000,))) == 0.0, "a core that nobody has"
