"""botocore's SigV4 with the derived key kept: it changes once a day, not once a call."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

from harness.errors import NoServer
from harness.stores.dynamodb.driver import boto3, botocore

_SERVICE = "dynamodb"


class Signer:
    """Signs calls to one URL. Raises `NoServer` where there are no credentials at all."""

    def __init__(self, url: str, credentials: Mapping[str, str], region: str) -> None:
        self._url = url
        self._source = _source(credentials)
        self._auth_class = _auth_class()
        self._region = region

    def headers(self, operation: str, payload: bytes) -> dict[str, str]:
        """Everything that a call's request carries beside its payload."""
        request = botocore.awsrequest.AWSRequest(
            "POST",
            self._url,
            {
                "Content-Type": "application/x-amz-json-1.0",
                "X-Amz-Target": f"DynamoDB_20120810.{operation}",
            },
            payload,
        )
        # Frozen for each call: temporary credentials renew themselves.
        frozen = self._source.get_frozen_credentials()
        self._auth_class(frozen, _SERVICE, self._region).add_auth(request)
        return dict(request.headers.items())


def _source(credentials: Mapping[str, str]) -> Any:
    session = boto3.session.Session()
    if credentials:
        return botocore.credentials.Credentials(
            credentials["access_key"], credentials["secret_key"]
        )
    found = session.get_credentials()
    if found is None:
        raise NoServer(
            "dynamodb: no AWS credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
            "(DynamoDB Local takes any)"
        )
    return found


@cache
def _auth_class() -> Any:
    """Made on first use, as its base is."""

    class KeptKeySigV4(botocore.auth.SigV4Auth):  # type: ignore[misc]
        def signature(self, string_to_sign: str, request: Any) -> str:
            date = request.context["timestamp"][:8]
            key = _derived(self.credentials.secret_key, date, self._region_name)
            return hmac.new(key, string_to_sign.encode(), hashlib.sha256).hexdigest()

    return KeptKeySigV4


@lru_cache(maxsize=4)
def _derived(secret: str, date: str, region: str) -> bytes:
    key = b"AWS4" + secret.encode()
    for part in (date, region, _SERVICE, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
