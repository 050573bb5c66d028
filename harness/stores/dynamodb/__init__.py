"""DynamoDB as an event store: conditional transactions, two rivals, and the tutorials' template."""

from __future__ import annotations

from harness.domain.store import StoreKind
from harness.stores.dynamodb.bare import transacted
from harness.stores.dynamodb.commits import Commits
from harness.stores.dynamodb.declaration import DynamoOptions
from harness.stores.dynamodb.event_items import Heads
from harness.stores.dynamodb.sequenced import Sequenced
from harness.stores.dynamodb.template import Template

STORE = StoreKind(
    name="dynamodb",
    summary="DynamoDB: an item an event, guarded by the stream's head in one transaction",
    variants={
        "": Heads,
        "commit": Commits,
        "sequenced": Sequenced,
        "template": Template,
    },
    options=DynamoOptions,
    server="dynamodb",
    extra="dynamodb",
    drivers=("boto3",),
    bare_loops={"": transacted},
)
