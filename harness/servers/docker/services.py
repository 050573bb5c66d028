"""The services of the compose file: what a container of each technology needs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.servers import http2
from harness.servers.docker.compose import Described
from harness.servers.native import dynamodb, eventstoredb, kafka, postgres, umadb

HOST = "127.0.0.1"
Environment = Mapping[str, str]


async def _healthy_is_enough(port: int) -> bool:  # noqa: ARG001
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One technology's service."""

    technology: str
    inside_port: int
    port_variable: str
    warm_up_s: float
    address: Callable[[str, int], str]
    """The adapter's address of a host and a port."""
    credentials: Callable[[Environment], Mapping[str, str]] = lambda _: {}
    """Read from the container's own environment."""
    data_folder: Callable[[Environment], str]
    """Its name inside the container, by the container's own environment."""
    changed: Callable[[Described, Mapping[str, str]], Described]
    """What the scenario's settings change in its description. Raises `BadInput`."""
    version: Sequence[str] = ()
    """A command that prints the server's version; without one the image's tag says it."""
    relayed: Callable[[Described, int, int], Described | None] = lambda *_: None
    """What a listener for a relay changes in its description, by the port that is published for it
    and the relay's own; `None` where clients need none, or there can be none."""
    answers: Callable[[int], Awaitable[bool]] = _healthy_is_enough
    """Whether it answers at a published port, once its own health check passes."""


def _postgres_settings(described: Described, settings: Mapping[str, str]) -> Described:
    postgres.SETTINGS.check(settings)
    declared = (f"{name}={_escaped(value)}" for name, value in settings.items())
    flags = [word for setting in declared for word in ("-c", setting)]
    return {"command": [*_words(described["command"]), *flags]}


def _kafka_settings(described: Described, settings: Mapping[str, str]) -> Described:
    del described  # Compose merges environments by name
    kafka.SETTINGS.check(settings)
    names = {name: f"KAFKA_{name.replace('.', '_').upper()}" for name in settings}
    return {"environment": {names[name]: _escaped(value) for name, value in settings.items()}}


_RELAYED_INSIDE = 9094


def _kafka_relayed(described: Described, port: int, relay_port: int) -> Described | None:
    """One more listener, whose clients get the relay's port."""
    own = described.get("environment", {})
    more = {
        "KAFKA_LISTENERS": f"RELAYED://0.0.0.0:{_RELAYED_INSIDE}",
        "KAFKA_ADVERTISED_LISTENERS": f"RELAYED://{HOST}:{relay_port}",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "RELAYED:PLAINTEXT",
    }
    if described.get("network_mode") or not isinstance(own, Mapping) or not set(more) <= set(own):
        return None
    return {
        "environment": {name: f"{own[name]},{value}" for name, value in more.items()},
        "ports": [f"{HOST}:{port}:{_RELAYED_INSIDE}"],  # Compose adds it to the others
    }


def _dynamodb_settings(described: Described, settings: Mapping[str, str]) -> Described:
    dynamodb.SETTINGS.check(settings)
    words = _words(described["command"])
    if settings.get("storage") == "file":
        words.remove("-inMemory")
        words += ["-dbPath", f"{described['working_dir']}/data"]
    if settings.get("compiler") == "full":
        words.remove("-XX:TieredStopAtLevel=1")
    return {"command": words}


def _eventstoredb_settings(described: Described, settings: Mapping[str, str]) -> Described:
    del described  # Compose merges environments by name
    eventstoredb.SETTINGS.check(settings)
    names = {name: f"EVENTSTORE_{name}" for name in settings}
    return {"environment": {names[name]: _escaped(value) for name, value in settings.items()}}


def _umadb_settings(described: Described, settings: Mapping[str, str]) -> Described:
    return {"command": [*_words(described["command"]), *map(_escaped, umadb.flags(settings))]}


def _words(command: Any) -> list[str]:
    return [str(word) for word in command]


def _escaped(value: str) -> str:
    """The value with each dollar doubled, since Compose takes a single one for a variable."""
    return value.replace("$", "$$")


async def _kafka_answers(port: int) -> bool:
    return await kafka.living_brokers(HOST, port) > 0


async def _umadb_answers(port: int) -> bool:
    return await http2.speaks(HOST, port)


POSTGRES = Service(
    technology="postgres",
    inside_port=5432,
    port_variable="ESLAB_POSTGRES_PORT",
    warm_up_s=postgres.PostgresRecipe.warm_up_s,
    address="postgresql://postgres@{}:{}/postgres".format,
    credentials=lambda environment: {"password": environment["POSTGRES_PASSWORD"]},
    data_folder=lambda environment: environment.get("PGDATA", "/var/lib/postgresql"),
    changed=_postgres_settings,
    version=("postgres", "--version"),
)
KAFKA = Service(
    technology="kafka",
    inside_port=9092,
    port_variable="ESLAB_KAFKA_PORT",
    warm_up_s=kafka.KafkaRecipe.warm_up_s,
    address="{}:{}".format,
    data_folder=lambda environment: environment["KAFKA_LOG_DIRS"].partition(",")[0],
    changed=_kafka_settings,
    relayed=_kafka_relayed,
    answers=_kafka_answers,
)
DYNAMODB = Service(
    technology="dynamodb",
    inside_port=8000,
    port_variable="ESLAB_DYNAMODB_PORT",
    warm_up_s=dynamodb.DynamoRecipe.warm_up_s,
    address="http://{}:{}".format,
    credentials=lambda _: dynamodb.CREDENTIALS,
    data_folder=lambda _: "/home/dynamodblocal/data",
    changed=_dynamodb_settings,
)
EVENTSTOREDB = Service(
    technology="eventstoredb",
    inside_port=2113,
    port_variable="ESLAB_EVENTSTOREDB_PORT",
    warm_up_s=eventstoredb.EventStoreDBRecipe.warm_up_s,
    address="esdb://{}:{}?tls=false".format,
    data_folder=lambda environment: environment.get("EVENTSTORE_DB", "/var/lib/eventstore"),
    changed=_eventstoredb_settings,
    answers=eventstoredb.takes_appends,
)
UMADB = Service(
    technology="umadb",
    inside_port=50051,
    port_variable="ESLAB_UMADB_PORT",
    warm_up_s=umadb.UmaRecipe.warm_up_s,
    address="grpc://{}:{}".format,
    data_folder=lambda _: "/data",
    changed=_umadb_settings,
    version=("/umadb", "--version"),
    answers=_umadb_answers,
)
