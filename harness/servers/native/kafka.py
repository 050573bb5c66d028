"""Kafka as one local process: a broker that is its own controller (KRaft), made for one run."""

from __future__ import annotations

import asyncio
import base64
import re
import secrets
import signal
import struct
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from harness.domain.server import ServerSettings, judged_by_the_server
from harness.domain.store import Endpoint, RelayListener
from harness.servers.local import free_ports, lengths
from harness.servers.native import maven
from harness.servers.native.place import Place
from harness.servers.native.server import Native, Plan

_ANSWER_LIMIT_S = 2.0
_METADATA, _VERSION, _CORRELATION = 3, 1, 7
_NO_CLIENT_ID, _NO_TOPICS = -1, 0
REQUEST = struct.pack(">ihhihi", 14, _METADATA, _VERSION, _CORRELATION, _NO_CLIENT_ID, _NO_TOPICS)
"""Cheap: a broker answers it from memory."""
_RESPONSE = struct.Struct(">iii")
"""Length, correlation, number of brokers; the rest of it is not needed."""


async def living_brokers(host: str, port: int) -> int:
    """How many brokers the cluster counts as alive; 0 where no Kafka answers."""
    try:
        async with asyncio.timeout(_ANSWER_LIMIT_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(REQUEST)
                answer = await reader.readexactly(_RESPONSE.size)
            finally:
                writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return 0
    _, correlation, brokers = _RESPONSE.unpack(answer)
    return int(brokers) if correlation == _CORRELATION else 0


POM = Path(__file__).with_name("poms") / "kafka.xml"
_HOST = "127.0.0.1"
_JVM = (
    # As `kafka-server-start.sh` sets them.
    *("-Xmx1g", "-Xms1g", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"),
    *("-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent"),
    *("-Djava.awt.headless=true", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"),
)
_ONE_NODE: Mapping[str, str] = MappingProxyType(
    {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "CLIENT",
        "listener.security.protocol.map": (
            "CLIENT:PLAINTEXT,RELAYED:PLAINTEXT,CONTROLLER:PLAINTEXT"
        ),
    }
)
_DEFAULTS: Mapping[str, str] = MappingProxyType(
    {
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        # A lab has few clients: 50 partitions each, as by default, would only cost starting time.
        "offsets.topic.num.partitions": "1",
        "transaction.state.log.num.partitions": "4",
        "group.initial.rebalance.delay.ms": "0",
        # A killed broker may come back when its last session has ended: in 3 s instead of 12.
        "broker.session.timeout.ms": "1500",
        "broker.heartbeat.interval.ms": "300",
    }
)
SETTINGS = ServerSettings(
    "kafka",
    judged_by_the_server("""
    add.partitions.to.txn.retry.backoff.max.ms add.partitions.to.txn.retry.backoff.ms
    auto.create.topics.enable auto.leader.rebalance.enable background.threads
    broker.heartbeat.interval.ms broker.session.timeout.ms compression.gzip.level
    compression.lz4.level compression.type compression.zstd.level connections.max.idle.ms
    default.replication.factor delete.records.purgatory.purge.interval.requests
    delete.topic.enable fetch.max.bytes fetch.purgatory.purge.interval.requests
    group.consumer.heartbeat.interval.ms group.consumer.max.heartbeat.interval.ms
    group.consumer.max.session.timeout.ms group.consumer.max.size
    group.consumer.min.heartbeat.interval.ms group.consumer.min.session.timeout.ms
    group.consumer.session.timeout.ms group.coordinator.append.linger.ms
    group.coordinator.threads group.initial.rebalance.delay.ms group.max.session.timeout.ms
    group.max.size group.min.session.timeout.ms leader.imbalance.check.interval.seconds
    log.cleaner.backoff.ms log.cleaner.dedupe.buffer.size log.cleaner.delete.retention.ms
    log.cleaner.enable log.cleaner.io.buffer.load.factor log.cleaner.io.buffer.size
    log.cleaner.io.max.bytes.per.second log.cleaner.max.compaction.lag.ms
    log.cleaner.min.cleanable.ratio log.cleaner.min.compaction.lag.ms log.cleaner.threads
    log.cleanup.policy log.flush.interval.messages log.flush.interval.ms
    log.flush.offset.checkpoint.interval.ms log.flush.scheduler.interval.ms
    log.flush.start.offset.checkpoint.interval.ms log.index.interval.bytes
    log.index.size.max.bytes log.local.retention.bytes log.local.retention.ms
    log.message.timestamp.after.max.ms log.message.timestamp.before.max.ms
    log.message.timestamp.type log.preallocate log.retention.bytes
    log.retention.check.interval.ms log.retention.hours log.retention.minutes log.retention.ms
    log.roll.hours log.roll.jitter.hours log.roll.jitter.ms log.roll.ms log.segment.bytes
    log.segment.delete.delay.ms max.connection.creation.rate max.connections
    max.incremental.fetch.session.cache.slots max.request.partition.size.limit message.max.bytes
    metadata.log.max.record.bytes.between.snapshots metadata.log.max.snapshot.interval.ms
    metadata.log.segment.bytes metadata.log.segment.ms metadata.max.idle.interval.ms
    metadata.max.retention.bytes metadata.max.retention.ms min.insync.replicas num.io.threads
    num.network.threads num.partitions num.recovery.threads.per.data.dir num.replica.fetchers
    offset.metadata.max.bytes offsets.commit.timeout.ms offsets.load.buffer.size
    offsets.retention.check.interval.ms offsets.retention.minutes
    offsets.topic.compression.codec offsets.topic.num.partitions
    offsets.topic.replication.factor offsets.topic.segment.bytes producer.id.expiration.ms
    producer.purgatory.purge.interval.requests queued.max.request.bytes queued.max.requests
    replica.fetch.backoff.ms replica.fetch.max.bytes replica.fetch.min.bytes
    replica.fetch.response.max.bytes replica.fetch.wait.max.ms
    replica.high.watermark.checkpoint.interval.ms replica.lag.time.max.ms
    replica.socket.receive.buffer.bytes replica.socket.timeout.ms request.timeout.ms
    share.coordinator.append.linger.ms share.coordinator.load.buffer.size
    share.coordinator.snapshot.update.records.per.snapshot
    share.coordinator.state.topic.compression.codec share.coordinator.state.topic.min.isr
    share.coordinator.state.topic.num.partitions
    share.coordinator.state.topic.replication.factor share.coordinator.state.topic.segment.bytes
    share.coordinator.threads share.coordinator.write.timeout.ms
    share.fetch.purgatory.purge.interval.requests socket.connection.setup.timeout.max.ms
    socket.connection.setup.timeout.ms socket.listen.backlog.size socket.receive.buffer.bytes
    socket.request.max.bytes socket.send.buffer.bytes
    transaction.abort.timed.out.transaction.cleanup.interval.ms transaction.max.timeout.ms
    transaction.partition.verification.enable
    transaction.remove.expired.transaction.cleanup.interval.ms
    transaction.state.log.load.buffer.size transaction.state.log.min.isr
    transaction.state.log.num.partitions transaction.state.log.replication.factor
    transaction.state.log.segment.bytes transactional.id.expiration.ms
    unclean.leader.election.enable
    """),
)
"""What a scenario may declare."""
_SEGMENT = re.compile(r"/(?!__cluster_metadata)[^/]+-\d+/\d+\.log$")
_ASCII_END = 0x80


class KafkaRecipe:
    """A fresh one-node cluster on free ports of the loopback interface, one of them a relay's."""

    technology = "kafka"
    unprivileged = False
    warm_up_s = 5.0

    def __init__(self, settings: Mapping[str, str]) -> None:
        SETTINGS.check(settings)
        self._settings = {**_DEFAULTS, **settings}
        self._port, self._controller_port, self._for_relay, self._relay_port = free_ports(4)

    def plan(self, place: Place) -> Plan:
        """Write its properties; format the log folder once, then serve. Fetches jars if missing."""
        jars = maven.plain_jars(self.technology, POM, place)
        java = [*maven.java_in(place), *_JVM, "-cp", f"{jars}/*"]
        properties = place.home / "server.properties"
        lines = (f"{name}={escaped(value)}\n" for name, value in self._properties(place).items())
        properties.write_text("".join(lines), encoding="ascii")
        storage = ["kafka.tools.StorageTool", "format", "--standalone", "-t", _cluster_id()]
        return Plan(
            prepare=[[*java, *storage, "-c", str(properties)]],
            serve=[*java, "kafka.Kafka", str(properties)],
            orderly=signal.SIGTERM,
            abandon=signal.SIGKILL,
        )

    async def answers(self, place: Place, pid: int) -> bool:  # noqa: ARG002
        """Whether the broker counts itself as alive in the cluster."""
        return await living_brokers(_HOST, self._port) > 0

    def log_bytes(self, place: Place) -> int:
        """Segments of all topics except deleted ones, including Kafka's own topics."""
        return sum(length for path, length in lengths(place.data) if _SEGMENT.search(path))

    def endpoint(self, place: Place) -> Endpoint:  # noqa: ARG002
        """Its listener for clients, and the one for a relay."""
        relayed = RelayListener(f"{_HOST}:{self._for_relay}", self._relay_port)
        return Endpoint(f"{_HOST}:{self._port}", for_relay=relayed)

    def _properties(self, place: Place) -> dict[str, str]:
        client, controller = f"{_HOST}:{self._port}", f"{_HOST}:{self._controller_port}"
        relayed, relay = f"{_HOST}:{self._for_relay}", f"{_HOST}:{self._relay_port}"
        return {
            **self._settings,
            **_ONE_NODE,
            "listeners": f"CLIENT://{client},RELAYED://{relayed},CONTROLLER://{controller}",
            # Clients of the second listener are sent to the relay, which alone connects to it.
            "advertised.listeners": f"CLIENT://{client},RELAYED://{relay}",
            "controller.quorum.bootstrap.servers": controller,
            "log.dirs": str(place.data),
        }


def escaped(value: str) -> str:
    """A value as `java.util.Properties` reads it, in ASCII."""
    text = value.replace("\\", "\\\\")
    text = f"\\{text}" if text[:1].isspace() else text
    units = text.encode("utf-16-be", "surrogatepass")
    codes = (int.from_bytes(units[at : at + 2]) for at in range(0, len(units), 2))
    return "".join(chr(code) if code < _ASCII_END else f"\\u{code:04x}" for code in codes)


def _cluster_id() -> str:
    """16 bytes as Kafka spells them; the first is 0 so that it can't look like a flag."""
    return base64.urlsafe_b64encode(b"\0" + secrets.token_bytes(15)).decode().rstrip("=")


NATIVE = Native("kafka", lambda: maven.available("kafka", POM), KafkaRecipe)
