"""The double as a `Server`: started on a port, killed, paused and restarted as a real one."""

from __future__ import annotations

import grpc

from harness.domain.faults import FaultKind
from harness.domain.server import DataFolder, Statistics
from harness.domain.store import Endpoint
from harness.servers.local import free_ports

from .front import Front
from .library import gossip_pb2, gossip_pb2_grpc, persistent_pb2_grpc, streams_pb2_grpc
from .persistent import PersistentSubscriptions
from .several_streams import SeveralStreams
from .state import EVENTSTOREDB, Release, State
from .streams import Streams

_RECEIVE_MAX_BYTES = 16 * 1024 * 1024
"""Servers take a message of 16.7 MB, and refuse one of 17 MB."""
_CALLS_MAX = 100
"""What the servers take on a connection at once."""


class Gossip(gossip_pb2_grpc.GossipServicer):
    """One node that leads."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def Read(self, request: object, context: object) -> object:  # noqa: N802
        """The members of the cluster. Source: `gossip.proto`."""
        del request, context
        member = gossip_pb2.MemberInfo(
            state=gossip_pb2.MemberInfo.Leader,
            is_alive=True,
            http_end_point=gossip_pb2.EndPoint(address="127.0.0.1", port=self._port),
        )
        return gossip_pb2.ClusterInfo(members=[member])


class Double:
    """Speaks the protocol on a port of the loopback interface; its log outlives `kill`."""

    technology = "eventstoredb"
    controllable = True
    warm_up_s = 0.0

    def __init__(self, release: Release = EVENTSTOREDB, port: int = 0) -> None:
        self._port = port or free_ports(1)[0]
        self.state = self._state = State(release)
        self.front = Front(self._state)
        self._persistent = PersistentSubscriptions(self._state)
        self._server: grpc.aio.Server | None = None

    @property
    def endpoint(self) -> Endpoint:
        """Without TLS, as the lab's own servers are."""
        return Endpoint(f"esdb://127.0.0.1:{self._port}?tls=false", version="double")

    async def start(self) -> None:
        """Listen."""
        self._state.going.set()
        server = self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", _RECEIVE_MAX_BYTES),
                ("grpc.so_reuseport", 0),
                ("grpc.max_concurrent_streams", _CALLS_MAX),
            ]
        )
        streams_pb2_grpc.add_StreamsServicer_to_server(Streams(self._state), server)
        persistent_pb2_grpc.add_PersistentSubscriptionsServicer_to_server(self._persistent, server)
        gossip_pb2_grpc.add_GossipServicer_to_server(Gossip(self._port), server)
        if self._state.release.several_streams:
            server.add_generic_rpc_handlers((SeveralStreams(self._state).handler(),))
        behind = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        await self.front.open(self._port, behind)

    async def stop(self) -> None:
        """Cut every connection."""
        await self.front.close()
        if self._server is not None:
            await self._server.stop(grace=0)
            self._server = None
        self._state.log.forget()
        self._state.going.set()

    async def restart(self, *, cold: bool = False) -> None:
        """Stop, if it runs, and listen again on the same port with the same log."""
        del cold
        await self.stop()
        await self.start()

    async def kill(self) -> None:
        """As `stop`: what was under way gets no answer."""
        await self.stop()

    async def pause(self) -> None:
        """Take requests and answer none."""
        self._state.going.clear()

    async def resume(self) -> None:
        """Go on."""
        self._state.going.set()

    def why_not(self, kind: FaultKind) -> str:
        """It keeps no files."""
        return "the double keeps everything in memory" if kind.of_the_disk else ""

    async def data_folder(self) -> DataFolder | None:
        """None: it keeps no files."""
        return None

    def statistics(self) -> Statistics:
        """None: it is no server."""
        return Statistics(None, None, None)
