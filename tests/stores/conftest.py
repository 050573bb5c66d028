"""Fixtures of the contract suite, parametrised with every store that was found.

`subject` is a store that can be read, `blind` one that cannot, `served` one with a server
that the test may stop, pause and kill, `holding` one whose clients may hold transactions open,
`bare` one whose driver can append by itself.
Tests follow events by their ids: a store that loses them has only tests of its own, and checks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from harness.domain.errors import UnsupportedByStore
from harness.domain.store import Endpoint
from harness.servers import Server

from ..conftest import EXCUSED
from .cases import DOUBLED, Case, asked_by_checks, cases
from .subject import Subject, fresh, opened

SELECTIONS: Mapping[str, Callable[[Case], bool]] = {
    "subject": lambda case: case.declared.readable and case.declared.keeps_ids,
    "blind": lambda case: not case.declared.readable,
    "served": lambda case: case.kind.server is not None and case.declared.keeps_ids,
    "holding": lambda case: hasattr(case.adapter, "open_transaction"),
    "bare": lambda case: case.ref.variant in case.kind.bare_loops,
}

Opening = Callable[..., AbstractContextManager[Subject]]


NOBODY = None
"""Stands for the store of a test that no store's declaration asks for; never run."""


def pytest_configure(config: pytest.Config) -> None:
    """Register the suite's markers."""
    config.addinivalue_line(
        "markers", "declares(guarantee=(…)): only for stores that declare one of these values"
    )
    config.addinivalue_line(
        "markers", "leaves_out(case, …): not for option sets with which nothing here is different"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test the stores that it is about, once where the checks ask the same."""
    module = metafunc.module.__name__.rpartition(".")[2]
    among = [case for case in cases() if not asked_by_checks(case, module)]
    parametrize(metafunc, among)


def parametrize(metafunc: pytest.Metafunc, among: Sequence[Case]) -> None:
    """Give a test those of `among` that it is about."""
    declarations = [mark.kwargs for mark in metafunc.definition.iter_markers("declares")]
    left_out = {one for mark in metafunc.definition.iter_markers("leaves_out") for one in mark.args}
    among = [case for case in among if case.ref.key not in left_out]
    for fixture, wanted in SELECTIONS.items():
        if fixture in metafunc.fixturenames:
            chosen = [c for c in among if wanted(c) and _declares(c, declarations)]
            values = [_marked(case) for case in chosen] or [NOBODY]
            metafunc.parametrize(fixture, values, ids=str, indirect=True)


def _marked(case: Case) -> object:
    """Where no server of a technology can be had, its own group is excused; the double's is not."""
    excused = case.kind.server in DOUBLED and not case.double
    return pytest.param(case, marks=getattr(pytest.mark, EXCUSED)) if excused else case


def _declares(case: Case, declarations: list[Mapping[str, tuple[object, ...]]]) -> bool:
    return all(
        getattr(case.declared, guarantee) in allowed
        for declaration in declarations
        for guarantee, allowed in declaration.items()
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Drop the tests that no store's declaration asks for."""
    items[:] = [item for item in items if not _is_for_nobody(item)]


def _is_for_nobody(item: pytest.Item) -> bool:
    callspec = getattr(item, "callspec", None)
    return callspec is not None and any(
        callspec.params.get(fixture, item) is NOBODY for fixture in SELECTIONS
    )


@pytest.fixture(scope="session")
def double(runner: asyncio.Runner) -> Iterator[Callable[..., Server]]:
    """`double()`: EventStoreDB's, started at the first call, shared by the session.

    KurrentDB's where appends to several streams are asked for.
    """
    started: dict[bool, Server] = {}

    def start(*, several_streams: bool = False) -> Server:
        if several_streams not in started:
            from ..doubles import eventstoredb  # noqa: PLC0415 - its driver may be missing

            release = eventstoredb.KURRENTDB if several_streams else eventstoredb.EVENTSTOREDB
            started[several_streams] = eventstoredb.Double(release)
            runner.run(started[several_streams].start())
        return started[several_streams]

    yield start
    for server in started.values():
        runner.run(server.stop())


async def _require_links(endpoint: Endpoint) -> None:
    """Skip where a real server's projections are off, which write the links."""
    from harness.stores.eventstoredb.declaration import has_projections  # noqa: PLC0415

    if await has_projections(endpoint) is False:
        pytest.skip("not reached: projections are off on the server")


@pytest.fixture
def opening(
    runner: asyncio.Runner,
    servers: Callable[..., Server],
    double: Callable[..., Server],
    tmp_path: Path,
) -> Opening:
    """Opens a case on a fresh namespace."""

    def _server_of(case: Case, *, surviving: bool) -> Server | None:
        if case.double:
            return double(several_streams=case.ref.variant == "multi")
        return servers(case.kind.server, surviving=surviving) if case.kind.server else None

    @contextmanager
    def open_case(case: Case, *, surviving: bool = False) -> Iterator[Subject]:
        server = _server_of(case, surviving=surviving)
        endpoint = fresh(server.endpoint if server else Endpoint(address=str(tmp_path)))
        if not case.double and getattr(case.options, "categories", "") == "links":
            runner.run(_require_links(endpoint))
        subject = opened(case.adapter, case.options, endpoint, server)
        try:
            entered = runner.run(subject.__aenter__())
        except UnsupportedByStore as error:
            if case.double:
                raise
            pytest.skip(f"not reached: {error}")
        yield entered
        runner.run(subject.__aexit__(None, None, None))

    return open_case


@pytest.fixture
def subject(request: pytest.FixtureRequest, opening: Opening) -> Iterator[Subject]:
    """A store that can be read, open on a fresh namespace."""
    with opening(request.param) as subject:
        yield subject


@pytest.fixture
def blind(request: pytest.FixtureRequest, opening: Opening) -> Iterator[Subject]:
    """A store that cannot be read, open on a fresh namespace."""
    with opening(request.param) as subject:
        yield subject


@pytest.fixture
def holding(request: pytest.FixtureRequest, opening: Opening) -> Iterator[Subject]:
    """A store that offers `open_transaction`, open on a fresh namespace."""
    with opening(request.param) as subject:
        yield subject


@pytest.fixture
def bare(
    request: pytest.FixtureRequest, opening: Opening
) -> Iterator[tuple[Subject, Callable[..., object]]]:
    """A store, open on a fresh namespace, and the bare loop of its driver."""
    case = request.param
    with opening(case) as subject:
        yield subject, case.kind.bare_loops[case.ref.variant]


@pytest.fixture
def served(request: pytest.FixtureRequest, opening: Opening) -> Iterator[Subject]:
    """A store with a server that the test may hurt; a skip where it is not the lab's own."""
    with opening(request.param, surviving=True) as subject:
        if not subject.server.controllable:
            pytest.skip(f"{request.param}: an external server is not the suite's to stop")
        yield subject


@pytest.fixture
def far_east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A local time that no UTC time can be mistaken for."""
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()
