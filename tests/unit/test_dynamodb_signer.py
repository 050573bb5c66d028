"""The lab's own signer against botocore's, which any request may be held against."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from botocore import auth, awsrequest
from botocore.credentials import Credentials

from harness.stores.dynamodb.clients import Signer

SECOND = 1_790_000_000


@pytest.mark.parametrize("token", [None, "a/token+with=signs"])
@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000/",
        "http://[::1]:8000/",
        "http://Localhost:80/",
        "https://dynamodb.eu-west-1.amazonaws.com/",
        "https://proxy.example:8443/a path/dynamodb/",
    ],
)
def test_signatures_are_botocores(url: str, token: str | None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(time, "time", lambda: SECOND + 0.5)
    monkeypatch.setattr(auth, "get_current_datetime", lambda: datetime.fromtimestamp(SECOND, UTC))
    payload, keys = '{"TableName":"ü"}'.encode(), ("AKIA", "secret")
    signer = Signer(url, {"access_key": keys[0], "secret_key": keys[1]}, "eu-west-1")
    signer._source = Credentials(*keys, token)
    ours = signer.headers("PutItem", payload)
    signed = {name: ours[name] for name in ("content-type", "x-amz-target")}
    request = awsrequest.AWSRequest("POST", url, signed, payload)
    auth.SigV4Auth(Credentials(*keys, token), "dynamodb", "eu-west-1").add_auth(request)
    theirs = {name.lower(): value for name, value in request.headers.items()}
    assert theirs == {name: value for name, value in ours.items() if name != "host"}
