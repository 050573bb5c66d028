"""Kafka as one local process: a broker that is its own controller (KRaft), made for one run."""

from __future__ import annotations

import base64
import re
import secrets
import signal
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from harness.errors import BadInput
from harness.servers import kafka_answer, maven
from harness.servers.files import lengths
from harness.servers.native import Native
from harness.servers.place import Place
from harness.servers.ports import free_ports
from harness.servers.recipe import Plan
from harness.store import Endpoint

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
    }
)
_DEFAULTS: Mapping[str, str] = MappingProxyType(
    {
        "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
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
_OWN = frozenset({*_ONE_NODE, "listeners", "advertised.listeners", "log.dir", "log.dirs"})
_OWN_PREFIXES = ("controller.quorum.", "metadata.log.")
_SEGMENT = re.compile(r"/(?!__cluster_metadata)[^/]+-\d+/\d+\.log$")
_NAME = re.compile(r"[a-z][a-z0-9._-]*", re.ASCII)


def check(settings: Mapping[str, str]) -> None:
    """Raises `BadInput` for what a scenario may not set."""
    for name, value in settings.items():
        if not _NAME.fullmatch(name) or name in _OWN or name.startswith(_OWN_PREFIXES):
            raise BadInput(f"kafka: {name!r} is not a setting that a scenario may declare")
        if not value.isprintable():
            raise BadInput(f"kafka: the value of {name!r} does not fit on one line")


class KafkaRecipe:
    """A fresh one-node cluster on two free ports of the loopback interface."""

    technology = "kafka"
    unprivileged = False
    warm_up_s = 5.0

    def __init__(self, settings: Mapping[str, str]) -> None:
        check(settings)
        self._settings = {**_DEFAULTS, **settings}
        self._port, self._controller_port = free_ports(2)

    def plan(self, place: Place) -> Plan:
        """Write its properties; format the log folder once, then serve. Fetches jars if need be."""
        java = [maven.java(), *_JVM, "-cp", f"{maven.jars(self.technology, POM)}/*"]
        properties = place.home / "server.properties"
        properties.write_text("".join(f"{k}={v}\n" for k, v in self._properties(place).items()))
        storage = ["kafka.tools.StorageTool", "format", "--standalone", "-t", _cluster_id()]
        return Plan(
            prepare=[[*java, *storage, "-c", str(properties)]],
            serve=[*java, "kafka.Kafka", str(properties)],
            orderly=signal.SIGTERM,
            abandon=signal.SIGKILL,
        )

    async def answers(self, place: Place, pid: int) -> bool:  # noqa: ARG002
        """Whether the broker counts itself among the cluster's living ones."""
        return await kafka_answer.living_brokers(_HOST, self._port) > 0

    def log_bytes(self, place: Place) -> int:
        """Segments of all topics but deleted ones, with what transactions and groups write."""
        return sum(length for path, length in lengths(place.data) if _SEGMENT.search(path))

    def endpoint(self, place: Place) -> Endpoint:  # noqa: ARG002
        """Its one listener for clients."""
        return Endpoint(f"{_HOST}:{self._port}")

    def _properties(self, place: Place) -> dict[str, str]:
        client, controller = f"{_HOST}:{self._port}", f"{_HOST}:{self._controller_port}"
        return {
            **self._settings,
            **_ONE_NODE,
            "listeners": f"CLIENT://{client},CONTROLLER://{controller}",
            "advertised.listeners": f"CLIENT://{client}",
            "controller.quorum.bootstrap.servers": controller,
            "log.dirs": str(place.data),
        }


def _cluster_id() -> str:
    """16 bytes as Kafka spells them; the first is 0 so that it can't look like a flag."""
    return base64.urlsafe_b64encode(b"\0" + secrets.token_bytes(15)).decode().rstrip("=")


NATIVE = Native("kafka", lambda: maven.available("kafka", POM), KafkaRecipe)
