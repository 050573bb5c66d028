"""Docker where it cannot be had: one line for each reason, and nothing is started."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

import pytest

from harness.domain.errors import BadInput, NoServer
from harness.servers import probe, serving
from harness.servers.docker import engine, server

pytest.importorskip("docker")


@pytest.fixture
def a_docker_command(tmp_path, monkeypatch):
    """Something called docker on PATH; nothing here calls it."""
    command = tmp_path / "bin" / "docker"
    command.parent.mkdir()
    command.write_text("#!/bin/sh\nexit 1\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")


def test_without_docker_it_is_to_be_installed(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert probe("postgres", "docker").detail == "install Docker and its Compose plugin"


def test_an_engine_without_a_socket_is_to_be_started(a_docker_command, tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none")
    answer = probe("postgres", "docker")
    assert not answer.ready
    assert "the engine is not running" in answer.detail
    assert "start Docker" in answer.detail


def test_a_socket_behind_which_nobody_is_left_is_told_alike(
    a_docker_command, tmp_path, monkeypatch
):
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    assert f"no answer at unix://{path}" in probe("postgres", "docker").detail


@pytest.fixture
def nobody():
    """What follows is done as an account that may do nothing, if that takes giving up root."""
    if os.geteuid() == 0:
        os.seteuid(65534)
    yield
    os.seteuid(os.getuid())


@pytest.fixture
def forbidden_socket():
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listening:
        Path(folder).chmod(0o755)
        path = Path(folder) / "socket"
        listening.bind(str(path))
        listening.listen()
        path.chmod(0)
        yield path


def test_a_socket_of_somebody_elses_is_a_matter_of_its_group(
    a_docker_command, forbidden_socket, monkeypatch, nobody
):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{forbidden_socket}")
    assert "no permission on" in probe("postgres", "docker").detail


async def test_a_run_hears_the_same_as_the_doctor(a_docker_command, tmp_path):
    with pytest.raises(NoServer, match=r"postgres: docker: the engine is not running"):
        async with serving("postgres", way="docker", scratch=tmp_path):
            pass


@pytest.mark.parametrize("text", ["http", "0", "70000", "-1"])
def test_a_port_variable_that_holds_no_port_is_bad_input(monkeypatch, text):
    monkeypatch.setenv("ESLAB_POSTGRES_PORT", text)
    with pytest.raises(BadInput, match=f"ESLAB_POSTGRES_PORT: '{text}' is no port number"):
        server.asked_port("ESLAB_POSTGRES_PORT")


def test_the_sdk_is_imported_only_when_the_engine_is_asked():
    assert "docker" not in vars(engine)
