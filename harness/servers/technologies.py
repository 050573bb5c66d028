"""The table of every technology that needs a server, with all that the lab knows of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from harness.domain.server import ServerProvider, ServerSettings
from harness.servers.docker import services
from harness.servers.docker.server import Docker
from harness.servers.docker.services import Service
from harness.servers.external import (
    External,
    dynamodb_address,
    eventstoredb_address,
    kafka_address,
    postgres_address,
    umadb_address,
)
from harness.servers.native import dynamodb, eventstoredb, kafka, postgres, umadb
from harness.servers.path.round_trip import (
    Line,
    eventstoredb_ping,
    eventstoredb_unfit,
    http2_ping,
    http_ping,
    kafka_ping,
    kafka_through,
    kafka_unfit,
    postgres_ping,
    postgres_through,
    url_through,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Technology:
    """A row: the three ways to a server, its service of the compose file, its settings, its path.

    A store with a server needs its own package in `harness/stores/` and a row here.
    """

    external: External
    service: Service
    native: ServerProvider
    settings: ServerSettings
    line: Line | None = None

    @property
    def providers(self) -> Mapping[str, ServerProvider]:
        """By the values of `--servers`."""
        return {
            "external": self.external,
            "docker": Docker(self.service),
            "native": self.native,
        }


TECHNOLOGIES: Mapping[str, Technology] = MappingProxyType(
    {
        "dynamodb": Technology(
            external=External("dynamodb", "ESLAB_DYNAMODB_ENDPOINT", dynamodb_address),
            service=services.DYNAMODB,
            native=dynamodb.NATIVE,
            settings=dynamodb.SETTINGS,
            line=Line(dynamodb_address, http_ping, url_through),
        ),
        "eventstoredb": Technology(
            external=External("eventstoredb", "ESLAB_EVENTSTOREDB_URI", eventstoredb_address),
            service=services.EVENTSTOREDB,
            native=eventstoredb.NATIVE,
            settings=eventstoredb.SETTINGS,
            line=Line(eventstoredb_address, eventstoredb_ping, url_through, eventstoredb_unfit),
        ),
        "kafka": Technology(
            external=External("kafka", "ESLAB_KAFKA_BOOTSTRAP", kafka_address),
            service=services.KAFKA,
            native=kafka.NATIVE,
            settings=kafka.SETTINGS,
            line=Line(kafka_address, kafka_ping, kafka_through, kafka_unfit),
        ),
        "postgres": Technology(
            external=External("postgres", "ESLAB_POSTGRES_DSN", postgres_address),
            service=services.POSTGRES,
            native=postgres.NATIVE,
            settings=postgres.SETTINGS,
            line=Line(postgres_address, postgres_ping, postgres_through),
        ),
        "umadb": Technology(
            external=External("umadb", "ESLAB_UMADB_URL", umadb_address),
            service=services.UMADB,
            native=umadb.NATIVE,
            settings=umadb.SETTINGS,
            line=Line(umadb_address, http2_ping, url_through),
        ),
    }
)
