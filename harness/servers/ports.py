"""Free ports for servers: none that the system may hand to a client in the meantime."""

from __future__ import annotations

import random
import socket

from harness.errors import NoServer

_HOST = "127.0.0.1"
_RANGE = range(20_000, 32_768)
"""Below the ports that systems give to outgoing connections, and above well-known ones."""
_TRIES = 200


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface on which nobody listens now. Raises `NoServer`."""
    found: list[int] = []
    for port in random.sample(_RANGE, _TRIES):
        if _is_free(port):
            found.append(port)
        if len(found) == count:
            return found
    raise NoServer(f"no free port on {_HOST} from {_RANGE.start} to {_RANGE.stop - 1}")


def _is_free(port: int) -> bool:
    try:
        socket.create_server((_HOST, port)).close()
    except OSError:
        return False
    return True
