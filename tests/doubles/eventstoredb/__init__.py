"""A double of EventStoreDB on the level of its protocol: real messages over real gRPC sockets.

It stands in where no server can be had. It answers as EventStoreDB 23.10.8 and KurrentDB 26.1.0 did
where they were asked, else as the protocol's documentation and the client's own tests say, and says
at each behaviour where that is written.
Nothing that it does is a result: it lives among the tests, and no run can reach it.
"""

from .server import Double
from .state import EVENTSTOREDB, KURRENTDB

__all__ = ["EVENTSTOREDB", "KURRENTDB", "Double"]
