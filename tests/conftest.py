"""Fixtures and hooks for every test: one event loop, real servers, and no silent skips."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack

import hypothesis
import pytest

from harness.domain.errors import NoServer
from harness.servers import Server, serving

ENGINE = os.environ.setdefault("ESLAB_TEST_ENGINE", os.environ.get("DOCKER_HOST", ""))
"""Where the user's engine is, for `tests/docker` alone: other tests take native servers.

In a variable of its own, because the processes of a parallel run inherit what is set below.
"""
os.environ["DOCKER_HOST"] = "unix:///nowhere/docker.sock"
TEST_LIMIT_S = 60.0
NO_SKIPS = "ESLAB_NO_SKIPS"
EXCUSED = "server_not_here"
"""Skipped also where nothing may be missing: CI cannot have EventStoreDB, nor pull an image."""
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
    """Register the marker; let the lab that tests start hear Ctrl-C and a hang-up.

    A shell's background job is started deaf to them, and so would be everything that it starts.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    config.addinivalue_line("markers", f"{EXCUSED}: needs a server that no package brings")


def _skipped(config: pytest.Config) -> list[pytest.TestReport]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return reporter.stats.get("skipped", []) if reporter else []


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say what was not run and why, one line a reason."""
    reasons = Counter(str(report.longrepr[2]) for report in _skipped(config))
    if reasons:
        terminalreporter.section("not run")
    for reason, count in sorted(reasons.items()):
        tests = "1 test" if count == 1 else f"{count} tests"
        terminalreporter.line(f"not run: {tests}: {reason.removeprefix('Skipped: ')}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where everything must be there, a skip is a failure."""
    unexcused = [each for each in _skipped(session.config) if EXCUSED not in each.keywords]
    if os.environ.get(NO_SKIPS) == "1" and unexcused:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
