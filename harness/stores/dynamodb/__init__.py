"""DynamoDB as an event store: conditional transactions, its rivals, and the tutorials' template."""

from __future__ import annotations

from harness.store import StoreKind
from harness.stores.dynamodb.commits import Commits
from harness.stores.dynamodb.heads import Heads
from harness.stores.dynamodb.options import DynamoOptions
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
)
