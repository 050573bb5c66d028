"""On which cores generator and servers run, and how many worker processes offer a trial's load."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import psutil

from harness.domain.errors import BadInput, UnsupportedByStore
from harness.domain.flags import Flag, FlagCode, sentence
from harness.domain.placement import cores_named, cores_text
from harness.domain.store import Guarantees
from harness.run.environment import cpu_limit_cores
from harness.run.trial_metrics import Row
from harness.scenario.model import ClosedLoop, Load, OpenLoop, Scenario, Trial

Asked: TypeAlias = Literal["auto", "on", "off"]
"""What `--pin` says."""
SIDES = 2
"""The generator's and the servers': each needs a core."""
KIND_RATIO = 1.2
"""Cores of one kind differ by less: the fastest of them may be a few percent above the others."""
BUSY_CORES = 0.5
"""If others use more, no core is a side's own: whoever may not move waits for them."""
LOOK_S = 0.3
_DEVICES = Path("/sys/devices/system/cpu")


@dataclass(frozen=True, slots=True)
class Machine:
    """What of the machine decides where both sides run."""

    cores: tuple[int, ...]
    """Those that the lab may use; threads of one core stand beside each other."""
    limit_cores: float | None = None
    """What control groups allow."""
    speeds: Mapping[int, int] = field(default_factory=dict)
    """By core, in the system's own unit; empty where it does not say."""
    linux: bool = True
    busy_cores: float = 0.0
    """What other programs used when the run began, in cores."""

    @classmethod
    def here(cls, devices: Path = _DEVICES) -> Machine:
        """This machine, as the system describes it."""
        cores = available()
        found = {core: _speed(devices / f"cpu{core}") for core in cores}
        return cls(
            tuple(sorted(cores, key=lambda core: (_first_thread(devices, core), core))),
            cpu_limit_cores(),
            {core: speed for core, speed in found.items() if speed},
            hasattr(os, "sched_setaffinity"),
        )

    @property
    def whole_cores(self) -> int:
        """The cores that both sides together can keep busy."""
        limit = len(self.cores) if self.limit_cores is None else int(self.limit_cores)
        return max(1, min(len(self.cores), limit))


@dataclass(frozen=True, slots=True)
class Cores:
    """Separate cores for both sides of a measurement."""

    generator: frozenset[int]
    server: frozenset[int]


@dataclass(frozen=True, slots=True)
class Decision:
    """Which cores both sides of a run have, and why. `cores` is `None` where they share all."""

    asked: Asked
    machine: Machine
    why: str
    """One line for people: what was decided, and why."""
    cores: Cores | None = None
    flag: Flag | None = None
    """Where both sides should be apart and cannot be."""

    def __str__(self) -> str:
        return f"placement: {self.why}"

    def described(self) -> dict[str, Any]:
        """For the manifest."""
        sides = {
            "generator_cores": sorted(self.cores.generator),
            "server_cores": sorted(self.cores.server),
        } if self.cores else {}  # fmt: skip
        every = sorted(self.machine.cores)
        return {
            "asked": self.asked,
            "apart": self.cores is not None,
            "why": self.why,
            "cores": every,
            **sides,
        }


def parsed(asked: str) -> Asked:
    """Raises `BadInput` for anything but `auto`, `on` and `off`."""
    for each in get_args(Asked):
        if asked == each:
            return each  # type: ignore[no-any-return]
    raise BadInput(f"--pin {asked}: expected auto, on or off")


def decided(
    asked: Asked,
    machine: Machine,
    ways: Mapping[str, str],
    scenario: Scenario,
    libraries: Collection[str] = (),
    why_refused: Callable[[Cores], str] | None = None,
) -> Decision:
    """Cores of their own for generator and servers, where that can be.

    `ways` are those to the run's servers, by technology; `libraries` are technologies that have
    none. `why_refused` tries the cores out.
    """
    if not ways:
        return Decision(asked, machine, "generator on every core: the stores have no server")
    if asked == "off":
        return Decision(asked, machine, "generator and servers share all cores: --pin off")
    if asked == "auto" and set(ways.values()) == {"external"}:
        why = "generator on every core: auto, external servers are not the lab's to place"
        return Decision(asked, machine, why)
    if hindrance := _hindrance(asked, machine):
        return Decision(asked, machine, sentence([hindrance]), flag=hindrance)
    cores = _separate(machine, scenario)
    if reason := (why_refused or refusal)(cores):
        refused = Flag(FlagCode.NOT_APART, {"cause": "refused", "reason": reason})
        return Decision(asked, machine, sentence([refused]), flag=refused)
    return Decision(asked, machine, _apart(asked, machine, ways, libraries, cores), cores)


def _apart(
    asked: Asked,
    machine: Machine,
    ways: Mapping[str, str],
    libraries: Collection[str],
    cores: Cores,
) -> str:
    own, others = (cores_named(cores_text(each)) for each in (cores.generator, cores.server))
    kinds = " and ".join(sorted(set(ways.values())))
    decided_by = f"auto, {len(machine.cores)} cores and {kinds} servers"
    why = "--pin on" if asked == "on" else decided_by
    alone = f"; no server, every core: {', '.join(sorted(libraries))}" if libraries else ""
    return f"generator on {own}, servers on {others}: {why}{alone}"


def _hindrance(asked: Asked, machine: Machine) -> Flag | None:
    """What of the machine stands in the way, and if nobody has asked, what makes it worse."""
    if not machine.linux:
        return Flag(FlagCode.NOT_APART, {"cause": "system"})
    if len(machine.cores) < SIDES:
        return Flag(FlagCode.NOT_APART, {"cause": "one-core"})
    if machine.limit_cores is not None and machine.limit_cores < SIDES:
        return Flag(FlagCode.NOT_APART, {"cause": "limit", "limit_cores": machine.limit_cores})
    if asked == "auto" and machine.busy_cores > BUSY_CORES:
        # Whole cores: the halves of a comparison would each say another number.
        about = max(1, round(machine.busy_cores))
        return Flag(FlagCode.NOT_APART, {"cause": "busy", "busy_cores": about})
    speeds = [machine.speeds[core] for core in machine.cores if core in machine.speeds]
    if speeds and max(speeds) > KIND_RATIO * min(speeds):
        fast = [core for core in machine.cores if machine.speeds.get(core, 0) * KIND_RATIO
                > max(speeds)]  # fmt: skip
        slow = [core for core in machine.cores if core not in fast]
        kinds = {"fast": cores_text(fast), "slow": cores_text(slow)}
        return Flag(FlagCode.NOT_APART, {"cause": "kinds", **kinds})
    return None


def _separate(machine: Machine, scenario: Scenario) -> Cores:
    """The last cores for the generator, the rest for servers.

    One a worker process, and one for what their drivers do beside them, but no more than half of
    those that control groups let both sides keep busy.
    """
    cores, half = machine.cores, machine.whole_cores // SIDES
    wanted = [trial.processes for trial in scenario.trials]
    most = max((half if each == "auto" else each + 1 for each in wanted), default=1)
    count = min(most, half)
    return Cores(frozenset(cores[-count:]), frozenset(cores[:-count]))


def busy_cores(machine: Machine) -> float:
    """What other programs use of the lab's cores now. Takes `LOOK_S`, in which it sleeps.

    To be called while this process has no busy child. Programs on other cores do not count.
    """
    before_s, own_s = _busy_s(machine.cores), time.process_time()
    began = time.monotonic()
    time.sleep(LOOK_S)
    used_s = _busy_s(machine.cores) - before_s - (time.process_time() - own_s)
    return round(max(0.0, used_s / (time.monotonic() - began)), 1)


def _busy_s(cores: Collection[int]) -> float:
    """The time that these cores have worked, since the system began."""
    each = dict(enumerate(psutil.cpu_times(percpu=True)))
    names = ("user", "nice", "system", "irq", "softirq")
    known = [each[core] for core in cores if core in each]
    return sum(float(getattr(times, name, 0.0)) for times in known for name in names)


def refusal(cores: Cores) -> str:
    """Why this process may not choose its cores; empty if it may. Leaves them as they are."""
    before = os.sched_getaffinity(0)
    try:
        for side in (cores.server, cores.generator):
            os.sched_setaffinity(0, side)
    except OSError as error:
        return error.strerror or str(error)
    finally:
        with suppress(OSError):
            os.sched_setaffinity(0, before)
    return ""


@contextmanager
def kept_on(cores: frozenset[int]) -> Iterator[None]:
    """This thread, and all that it starts inside the block, stays on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def available() -> list[int]:
    """The cores that the lab may use, in their order."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _speed(folder: Path) -> int:
    """The core's capacity, else its highest frequency; 0 where the system says neither."""
    for name in ("cpu_capacity", "cpufreq/cpuinfo_max_freq"):
        with suppress(OSError, ValueError):
            return int((folder / name).read_text(encoding="ascii"))
    return 0


def _first_thread(devices: Path, core: int) -> int:
    """The first of the threads that share its core; itself where the system does not say."""
    with suppress(OSError, ValueError):
        path = devices / f"cpu{core}" / "topology" / "thread_siblings_list"
        text = path.read_text(encoding="ascii")
        return int(text.replace("-", ",").split(",")[0])
    return core


def processes(trial: Trial, guarantees: Guarantees) -> int:
    """The declared number; one for `auto`, which a benchmark has settled before.

    Raises `UnsupportedByStore` where the store has one writer only.
    """
    if trial.processes == "auto":
        return 1
    if trial.processes > 1 and guarantees.writers != "many":
        raise UnsupportedByStore(
            f"{trial.processes} worker processes: {trial.store.key} declares one writer"
        )
    return trial.processes


FULL_SHARE = 0.6
"""From this share of its core on, one process is too few. `generator-bound` begins at 0.8."""
PROBE_WORKERS = 32
"""Clients in a probe of an open load whose rate is not known yet."""
Probe: TypeAlias = Callable[[Trial], Awaitable[Row]]


@dataclass(frozen=True, slots=True)
class Use:
    """What the busiest of some worker processes used of its core, at a rate of all of them."""

    processes: int
    rate_per_s: float
    core_share: float

    @classmethod
    def of(cls, row: Row) -> Use:
        """By a trial's row."""
        ended = sum(row[name] for name in ("ok", "conflict", "refused", "timeout", "unknown"))
        measured_s = row["measured_s"]
        return cls(row["processes"], ended / measured_s, row["busiest_worker_cpu_s"] / measured_s)

    @property
    def full_at_per_s(self) -> float | None:
        """The rate at which one process would need its whole core, by its time an operation."""
        share = self.core_share * self.processes
        return self.rate_per_s / share if share else None


@dataclass(frozen=True, slots=True)
class Chosen:
    """How many worker processes `auto` takes for a store at a point, and why."""

    processes: int
    why: str
    tried: tuple[Use, ...] = ()

    def described(self) -> dict[str, Any]:
        """For the manifest."""
        return {**asdict(self), "tried": [asdict(each) for each in self.tried]}


async def chosen(
    trial: Trial, guarantees: Guarantees, *, served: bool, most: int, probe: Probe
) -> Chosen:
    """As few processes as leave each some room in its core, by short trials of this load.

    `most` is how many cores the generator has.
    """
    if not served:
        return Chosen(1, "no server, the store is a library in the generator's process")
    if guarantees.writers != "many":
        return Chosen(1, "the store declares one writer")
    most = min(most, clients(trial.load))
    if most == 1:
        return Chosen(1, "the generator has one core, or one client")
    tried: list[Use] = []
    count = 1
    while True:
        offered = replace(trial, load=_probed(trial.load), processes=count)
        tried.append(Use.of(await probe(offered)))
        if tried[-1].core_share <= FULL_SHARE or count == most:
            return Chosen(count, _why(tried, most), tuple(tried))
        count = min(2 * count, most)


def clients(load: Load) -> int:
    """How many operations are under way at most."""
    return load.workers if isinstance(load, ClosedLoop) else load.in_flight_max


def _probed(load: Load) -> Load:
    """The load itself, where its rate is known."""
    if isinstance(load, OpenLoop) and not load.rate_per_s:
        return ClosedLoop(workers=min(load.in_flight_max, PROBE_WORKERS))
    return load


def _why(tried: Sequence[Use], most: int) -> str:
    first, last = tried[0], tried[-1]
    texts = [f"one used {first.core_share:.0%} of a core at {first.rate_per_s:,.0f}/s"]
    if len(tried) > 1:
        texts.append(f"{last.processes} use {last.core_share:.0%} each at {last.rate_per_s:,.0f}/s")
    if last.core_share > FULL_SHARE:
        texts.append(f"the generator has no more than {most} cores")
    return "; ".join(texts)
