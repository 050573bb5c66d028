"""What the lab has to know about each service of the compose file."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import BadInput
from harness.servers import dynamodb, kafka, kafka_answer, postgres
from harness.servers.docker.compose import Described

HOST = "127.0.0.1"
Environment = Mapping[str, str]


async def _healthy_is_enough(port: int) -> bool:  # noqa: ARG001
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One technology's service. Third parties' technologies add a row like these."""

    technology: str
    inside_port: int
    port_variable: str
    warm_up_s: float
    address: Callable[[str, int], str]
    """The adapter's address of a host and a port."""
    credentials: Callable[[Environment], Mapping[str, str]] = lambda _: {}
    """From the container's own environment."""
    changed: Callable[[Described, Mapping[str, str]], Described]
    """What the scenario's settings change in its description. Raises `BadInput`."""
    version: Sequence[str] = ()
    """A command that prints the server's version; without one the image's tag says it."""
    answers: Callable[[int], Awaitable[bool]] = _healthy_is_enough
    """Whether it serves at a published port, once its own health check holds."""


def _postgres_settings(described: Described, settings: Mapping[str, str]) -> Described:
    postgres.check(settings)
    declared = (f"{name}={_escaped(value)}" for name, value in settings.items())
    flags = [word for setting in declared for word in ("-c", setting)]
    return {"command": [*_words(described["command"]), *flags]}


def _kafka_settings(described: Described, settings: Mapping[str, str]) -> Described:
    del described  # Compose merges environments by name
    kafka.check(settings)
    names = {name: f"KAFKA_{name.replace('.', '_').upper()}" for name in settings}
    return {"environment": {names[name]: _escaped(value) for name, value in settings.items()}}


def _dynamodb_settings(described: Described, settings: Mapping[str, str]) -> Described:
    chosen = dynamodb.check({k: v for k, v in settings.items() if k != "port"})
    words = _words(described["command"])
    if chosen["storage"] == "file":
        words.remove("-inMemory")
        words += ["-dbPath", f"{described['working_dir']}/data"]
    if chosen["compiler"] == "full":
        words.remove("-XX:TieredStopAtLevel=1")
    return {"command": words}


def _eventstoredb_settings(described: Described, settings: Mapping[str, str]) -> Described:
    del described  # Compose merges environments by name
    for name in settings:
        if not name.replace("_", "").isalnum():
            raise BadInput(f"eventstoredb: {name!r} is not a setting; expected a name like MEM_DB")
    names = {name: f"EVENTSTORE_{name.upper()}" for name in settings}
    return {"environment": {names[name]: _escaped(value) for name, value in settings.items()}}


def _words(command: Any) -> list[str]:
    return [str(word) for word in command]


def _escaped(value: str) -> str:
    """Compose would take a dollar for a variable."""
    return value.replace("$", "$$")


async def _kafka_answers(port: int) -> bool:
    return await kafka_answer.living_brokers(HOST, port) > 0


SERVICES: Mapping[str, Service] = {
    "postgres": Service(
        technology="postgres",
        inside_port=5432,
        port_variable="ESLAB_POSTGRES_PORT",
        warm_up_s=postgres.PostgresRecipe.warm_up_s,
        address="postgresql://postgres@{}:{}/postgres".format,
        credentials=lambda environment: {"password": environment["POSTGRES_PASSWORD"]},
        changed=_postgres_settings,
        version=("postgres", "--version"),
    ),
    "kafka": Service(
        technology="kafka",
        inside_port=9092,
        port_variable="ESLAB_KAFKA_PORT",
        warm_up_s=kafka.KafkaRecipe.warm_up_s,
        address="{}:{}".format,
        changed=_kafka_settings,
        answers=_kafka_answers,
    ),
    "dynamodb": Service(
        technology="dynamodb",
        inside_port=8000,
        port_variable="ESLAB_DYNAMODB_PORT",
        warm_up_s=dynamodb.DynamoRecipe.warm_up_s,
        address="http://{}:{}".format,
        credentials=lambda _: dynamodb.CREDENTIALS,
        changed=_dynamodb_settings,
    ),
    "eventstoredb": Service(
        technology="eventstoredb",
        inside_port=2113,
        port_variable="ESLAB_EVENTSTOREDB_PORT",
        warm_up_s=5.0,
        address="esdb://{}:{}?tls=false".format,
        changed=_eventstoredb_settings,
    ),
}
