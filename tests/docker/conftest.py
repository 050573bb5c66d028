"""Fixtures of the docker group: the engine that the other tests do not see, and its servers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from unittest import mock

import pytest

from harness.servers import TECHNOLOGIES, Server, probe

from ..conftest import ENGINE, shared_servers
from ..stores.cases import cases
from ..stores.conftest import (  # noqa: F401 - fixtures and hooks of the contract suite
    blind,
    double,
    far_east,
    opening,
    parametrize,
    pytest_collection_modifyitems,
    pytest_configure,
    served,
    subject,
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each technology's default design, or one that has no server there."""
    among = [c for c in cases() if c.kind.server in TECHNOLOGIES and str(c) == c.kind.name]
    parametrize(metafunc, among)


@pytest.fixture(autouse=True)
def engine() -> Iterator[None]:
    """The user's own engine, without the ports and projects that the user has chosen."""
    visible = {"DOCKER_HOST": ENGINE} if ENGINE else {}
    hidden = [name for name in os.environ if name.endswith("_PORT") and name.startswith("ESLAB_")]
    with mock.patch.dict(
        os.environ, visible | {"COMPOSE_PROJECT_NAME": f"eslab-test-{os.getpid()}"}
    ):
        for name in [*hidden, *([] if ENGINE else ["DOCKER_HOST"])]:
            del os.environ[name]
        yield


@pytest.fixture(autouse=True)
def _can_run(engine: None) -> None:
    """A skip, with the reason, where no container of PostgreSQL could be started."""
    found = probe("postgres", "docker")
    if not found.ready:
        pytest.skip(f"docker: {found.detail}")


@pytest.fixture(scope="session")
def servers(
    runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Server]]:
    """As everywhere, but from containers."""
    yield from shared_servers(runner, tmp_path_factory, way="docker")
