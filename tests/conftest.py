"""Fixtures and hooks for every test: one event loop, real servers, and no silent skips."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from itertools import groupby

import hypothesis
import pytest

from harness.domain import grpc_environment
from harness.domain.errors import NoServer
from harness.servers import Server, serving

from .jvm import start_fast

sys.modules["rfc3987_syntax"] = None  # jsonschema compiles its grammars for 2 s; no test needs IRIs

ENGINE = os.environ.setdefault("ESLAB_TEST_ENGINE", os.environ.get("DOCKER_HOST", ""))
"""Where the user's engine is, for `tests/docker` alone: other tests take native servers.

In a variable of its own, because the processes of a parallel run inherit what is set below.
"""
os.environ["DOCKER_HOST"] = "unix:///nowhere/docker.sock"
grpc_environment.prepare()  # the doubles import gRPC before a store does
TEST_LIMIT_S = 180.0
NO_SKIPS = "ESLAB_NO_SKIPS"
EXCUSED = "server_not_here"
"""Skipped also where nothing may be missing: CI cannot have EventStoreDB, nor pull an image."""
STARTS_FIRST = "starts_first"
AGAIN = pytest.StashKey[str]()
AGAIN_MAX = 5
"""Up to five failures of thousands may be a busy machine's doing; more are the code's."""
hypothesis.settings.register_profile(
    "busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("busy")  # no test is red because a machine is busy

SURVIVING: Mapping[str, Mapping[str, str]] = {"dynamodb": {"storage": "file"}}
"""Settings with which a server that keeps everything in memory survives being stopped."""


@pytest.fixture(scope="session", autouse=True)
def runner() -> Iterator[asyncio.Runner]:
    """The event loop of all `async def` tests; servers and their connections outlive a test."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no worker is left alone with one of them.

    A worker gets an equal share of all items, in a row, and others take theirs from its end.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    others = [item for item in items if not item.get_closest_marker(STARTS_FIRST)]
    long = [item for item in items if item.get_closest_marker(STARTS_FIRST)]
    files = [list(of_file) for _, of_file in groupby(long, key=lambda item: item.path)]
    left, items[:] = len(items), []
    for worker in range(workers):
        own = [item for of_file in files[worker::workers] for item in of_file]
        share = left // (workers - worker)
        rest = max(0, share - len(own))
        items += own + others[:rest]
        left -= len(own) + len(others[:rest])
        del others[:rest]


def pytest_collection_finish() -> None:
    """Hide what was imported from the garbage collector: up to a quarter of the CPU goes there."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an `async def` test on the session's loop; one that hangs fails."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    coroutine = pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names})
    pyfuncitem.funcargs["runner"].run(_limited(coroutine))
    return True


async def _limited(coroutine) -> None:
    async with asyncio.timeout(TEST_LIMIT_S):
        await coroutine


@pytest.fixture(scope="session")
def servers(
    runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Server]]:
    """`servers(technology)`: started at the first call, shared by the session, else a skip."""
    yield from shared_servers(runner, tmp_path_factory, way="auto")


def shared_servers(
    runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory, way: str
) -> Iterator[Callable[..., Server]]:
    """The body of such a fixture.

    `surviving=True` asks for one whose data is there again after it was stopped.
    """
    stack = AsyncExitStack()
    started: dict[tuple[str, bool], Server | NoServer] = {}

    async def start(technology: str, settings: Mapping[str, str]) -> Server | NoServer:
        scratch = tmp_path_factory.mktemp(technology)
        serve = serving(technology, way=way, scratch=scratch, settings=settings)
        try:
            return await stack.enter_async_context(serve)
        except NoServer as error:
            return error

    def server(technology: str, *, surviving: bool = False) -> Server:
        settings = SURVIVING.get(technology, {}) if surviving else {}
        kind = (technology, bool(settings))
        if kind not in started:
            started[kind] = runner.run(start(technology, settings))
        match started[kind]:
            case NoServer() as error:
                pytest.skip(str(error))
            case running:
                return running

    yield server
    runner.run(stack.aclose())


@pytest.fixture
def postgres_server(servers: Callable[[str], Server]) -> Server:
    """A real PostgreSQL, shared by the session."""
    return servers("postgres")


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, set the JVMs; let the lab that tests start hear Ctrl-C and a hang-up.

    A shell's background job is started deaf to them, and so would be everything that it starts.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    start_fast(may_make=bool(getattr(config.option, "numprocesses", None)))
    config.addinivalue_line("markers", f"{EXCUSED}: needs a server that no package brings")
    config.addinivalue_line("markers", f"{STARTS_FIRST}: takes long, so begin with it")


def _reports(config: pytest.Config, *outcomes: str) -> list[pytest.TestReport]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    stats = reporter.stats if reporter else {}
    return [report for outcome in outcomes for report in stats.get(outcome, [])]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say what was not run and why, one line a reason, and what passed only alone."""
    reasons = Counter(str(report.longrepr[2]) for report in _reports(config, "skipped"))
    if reasons:
        terminalreporter.section("not run")
    for reason, count in sorted(reasons.items()):
        tests = "1 test" if count == 1 else f"{count} tests"
        terminalreporter.line(f"not run: {tests}: {reason.removeprefix('Skipped: ')}")
    if again := config.stash.get(AGAIN, None):
        terminalreporter.section("run again, alone")
        terminalreporter.line(again)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Run what failed beside other tests again alone; where nothing may be missing, fail a skip."""
    config = session.config
    failed = sorted({report.nodeid for report in _reports(config, "failed", "error")})
    parallel = bool(getattr(config.option, "numprocesses", None))
    if parallel and session.exitstatus == pytest.ExitCode.TESTS_FAILED and failed:
        if len(failed) > AGAIN_MAX:
            config.stash[AGAIN] = f"not done: {len(failed)} tests failed, more than {AGAIN_MAX}"
        elif _pass_alone(config, failed):
            session.exitstatus = pytest.ExitCode.OK
    unexcused = [each for each in _reports(config, "skipped") if EXCUSED not in each.keywords]
    if os.environ.get(NO_SKIPS) == "1" and unexcused:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _pass_alone(config: pytest.Config, tests: list[str]) -> bool:
    """Whether these tests pass with the machine to themselves; what they print is kept."""
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", *tests]
    again = subprocess.run(
        command, cwd=config.rootpath, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    passed = again.returncode == 0
    listed = "\n".join(f"failed beside other tests, passed alone: {test}" for test in tests)
    config.stash[AGAIN] = listed if passed else again.stdout
    return passed
