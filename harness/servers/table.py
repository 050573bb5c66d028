"""Every technology that needs a server, and the ways to get one that are built."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from harness.servers import (
    dynamodb,
    dynamodb_endpoint,
    eventstoredb_uri,
    kafka,
    kafka_bootstrap,
    postgres,
    postgres_dsn,
)
from harness.servers.docker import Docker
from harness.servers.external import External
from harness.servers.nowhere import Nowhere
from harness.servers.protocol import Way

TECHNOLOGIES: Mapping[str, Mapping[str, Way]] = MappingProxyType(
    {
        "dynamodb": {
            "external": External("dynamodb", "ESLAB_DYNAMODB_ENDPOINT", dynamodb_endpoint.parse),
            "docker": Docker("dynamodb"),
            "native": dynamodb.NATIVE,
        },
        "eventstoredb": {
            "external": External("eventstoredb", "ESLAB_EVENTSTOREDB_URI", eventstoredb_uri.parse),
            "docker": Docker("eventstoredb"),
            "native": Nowhere(
                "eventstoredb",
                "native",
                "no package brings its server: `make up` where images can be pulled, or "
                "ESLAB_EVENTSTOREDB_URI",
            ),
        },
        "kafka": {
            "external": External("kafka", "ESLAB_KAFKA_BOOTSTRAP", kafka_bootstrap.parse),
            "docker": Docker("kafka"),
            "native": kafka.NATIVE,
        },
        "postgres": {
            "external": External("postgres", "ESLAB_POSTGRES_DSN", postgres_dsn.parse),
            "docker": Docker("postgres"),
            "native": postgres.NATIVE,
        },
    }
)
