"""DynamoDB as an event store: conditional transactions, its rivals, and the tutorials' template."""

from __future__ import annotations

from harness.store import StoreKind
from harness.stores.dynamodb.heads import Heads
from harness.stores.dynamodb.options import DynamoOptions

STORE = StoreKind(
    name="dynamodb",
    summary="DynamoDB: an item an event, guarded by the stream's head in one transaction",
    variants={
        "": Heads,
    },
    options=DynamoOptions,
    server="dynamodb",
    extra="dynamodb",
)
