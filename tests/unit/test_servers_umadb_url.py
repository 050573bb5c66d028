"""`ESLAB_UMADB_URL`: where the server is, its certificate, and its key apart from that."""

from __future__ import annotations

import pytest

from harness.domain.durability import Durability
from harness.domain.store import Endpoint
from harness.servers import probe
from harness.servers.external import umadb_address
from harness.stores.umadb.declaration import durability_of, settings_of


@pytest.mark.parametrize(
    ("text", "address", "host"),
    [
        ("http://127.0.0.1:50051", "grpc://127.0.0.1:50051", ("127.0.0.1", 50051)),
        ("grpc://db.example/", "grpc://db.example:50051", ("db.example", 50051)),
        ("https://db.example", "grpcs://db.example:50051", ("db.example", 50051)),
        ("grpcs://[::1]:7?ca=/a/b.pem", "grpcs://[::1]:7?ca=/a/b.pem", ("::1", 7)),
        ("https://k%40y@db:7", "grpcs://db:7", ("db", 7)),
    ],
)
def test_an_address_is_taken_apart(text, address, host):
    found = umadb_address(text)
    assert (found.address, found.hosts) == (address, (host,))


@pytest.mark.parametrize("text", ["https://hunt%40r2@db:7", "https://:hunt%40r2@db:7"])
def test_the_key_is_set_apart_from_the_address(text):
    found = umadb_address(text)
    assert found.credentials == {"api_key": "hunt@r2"}
    assert "hunt" not in repr(found)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not the address"),
        ("127.0.0.1:50051", "not the address"),
        ("esdb://hunter2@db:1", "not the address"),
        ("http://", "not the address"),
        ("https://hunter2@db:1/hunter2", "not the address"),
        ("https://hunter2@db:port", "not readable"),
        ("http://hunter2@db:1", "over TLS alone"),
        ("https://hunter2%0a@db:1", "not one that can be sent"),
        ("https://db:1?api_key=hunter2", "ca alone"),
        ("http://db:1?ca=hunter2", "ca alone"),
    ],
)
def test_what_is_wrong_is_said_without_the_text(text, why):
    with pytest.raises(ValueError, match=f"{why}.*; expected http://host:port") as wrong:
        umadb_address(text)
    assert "hunter2" not in str(wrong.value)


@pytest.mark.parametrize(
    ("provider", "version", "durability"),
    [
        ("native", "0.7.8", Durability.POWER_LOSS),
        ("docker", "0.7.8", Durability.POWER_LOSS),
        ("docker", "", Durability.UNKNOWN),
        ("external", "", Durability.UNKNOWN),
    ],
)
def test_only_a_version_that_is_known_has_a_known_durability(provider, version, durability):
    settings = settings_of(Endpoint("grpc://127.0.0.1:1", provider=provider, version=version))
    assert durability_of(settings) is durability


def test_the_doctor_says_that_nobody_answers(monkeypatch):
    monkeypatch.setenv("ESLAB_UMADB_URL", "http://127.0.0.1:1")
    found = probe("umadb", "external")
    assert (found.ready, found.named) == (False, True)
    assert found.detail.startswith("ESLAB_UMADB_URL: no answer at 127.0.0.1:1")
