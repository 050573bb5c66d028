"""The path between generator and server: what its round trip costs, and a delay added to it."""

from harness.servers.path.measuring import Path, measure
from harness.servers.path.relaying import delayed

__all__ = ["Path", "delayed", "measure"]
