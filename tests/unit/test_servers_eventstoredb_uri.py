"""`ESLAB_EVENTSTOREDB_URI`: where the server is, and its secrets apart from that."""

from __future__ import annotations

import pytest

from harness.servers import probe
from harness.servers.external import eventstoredb_address


def test_secrets_are_set_apart_from_the_address():
    found = eventstoredb_address("esdb://ann:hunter%402@db.example:2114,db2.example?tls=false")
    assert found.address == "esdb://db.example:2114,db2.example?tls=false"
    assert found.hosts == (("db.example", 2114), ("db2.example", 2113))
    assert found.credentials == {"username": "ann", "password": "hunter@2"}
    assert "hunter" not in repr(found)


@pytest.mark.parametrize(
    "text",
    ["postgresql://ann:hunter2@db:1/x", "esdb://ann@db:1", "esdb://ann:hunter2@db:port", "esdb://"],
)
def test_what_is_wrong_is_said_without_the_text(text):
    with pytest.raises(ValueError, match="expected esdb://") as wrong:
        eventstoredb_address(text)
    assert "hunter2" not in str(wrong.value)


def test_the_doctor_says_in_one_line_what_gives_a_real_server(monkeypatch):
    monkeypatch.delenv("ESLAB_EVENTSTOREDB_URI", raising=False)
    found = probe("eventstoredb", "native")
    assert not found.ready
    assert "ESLAB_EVENTSTOREDB_URI" in found.detail
    assert "make up" in found.detail
