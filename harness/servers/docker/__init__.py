"""Servers in containers, over Compose and the `docker` SDK: the way `docker` of a technology."""

from harness.servers.docker.way import Docker

__all__ = ["Docker"]
