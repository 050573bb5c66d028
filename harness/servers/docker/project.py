"""Compose projects of the lab: that of `make up`, and those of runs, and their removal."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import psutil

from harness.servers.docker.engine import PROJECT_LABEL, containers, sdk

if TYPE_CHECKING:
    from docker.client import DockerClient
    from docker.models.containers import Container

RUN_PREFIX = "eslab-run-"
RUN = "run"
"""The first word of `eslab.started-by` for containers that a run made; its pid follows."""


def name() -> str:
    """The project of `make up`."""
    return os.environ.get("COMPOSE_PROJECT_NAME", "eslab")


def left_behind(client: DockerClient) -> set[str]:
    """Projects of runs that have ended without removing them."""
    return {
        each.labels[PROJECT_LABEL]
        for each in containers(client)
        if each.labels[PROJECT_LABEL].startswith(RUN_PREFIX) and not _run_lives(each)
    }


def without_containers(client: DockerClient) -> set[str]:
    """Projects of runs that have only volumes and networks left."""
    things = [*client.volumes.list(), *client.networks.list()]
    named = {(each.attrs.get("Labels") or {}).get(PROJECT_LABEL, "") for each in things}
    alive = {each.labels[PROJECT_LABEL] for each in containers(client)}
    return {each for each in named - alive if each.startswith(RUN_PREFIX)}


def remove(client: DockerClient, project: str) -> list[str]:
    """Remove its containers, volumes and networks; the names of the containers."""
    label = {"label": f"{PROJECT_LABEL}={project}"}
    members = client.containers.list(all=True, filters=label)
    names = [str(each.name) for each in members]
    for each in members:
        _gone(each.remove, force=True, v=True)
    for volume in client.volumes.list(filters=label):
        _gone(volume.remove, force=True)
    for network in client.networks.list(filters=label):
        _gone(network.remove)
    return names


def _run_lives(container: Container) -> bool:
    _, _, pid = container.labels.get("eslab.started-by", "").partition(" ")
    return bool(pid.isdecimal() and psutil.pid_exists(int(pid)))


def _gone(removing: object, **how: bool) -> None:
    """An object that is already gone is no error."""
    assert callable(removing)
    try:
        removing(**how)
    except sdk().errors.NotFound:
        return
