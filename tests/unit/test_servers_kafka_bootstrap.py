"""`ESLAB_KAFKA_BOOTSTRAP` taken apart, with nothing secret in what is shown."""

import pytest

from harness.servers.external import kafka_address


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("localhost:9092", [("localhost", 9092)]),
        ("a:1,b.c:65535", [("a", 1), ("b.c", 65535)]),
        ("[::1]:9092", [("::1", 9092)]),
        (" a:1 ", [("a", 1)]),
    ],
)
def test_hosts_and_ports(text, hosts):
    address = kafka_address(text)
    assert list(address.hosts) == hosts
    assert address.credentials == {}


def test_a_user_and_a_password_ask_for_sasl_over_tls_and_are_kept_apart():
    address = kafka_address("ann:pa%40ss@a:1?ca=/x.pem")
    assert address.address == "a:1"
    assert address.credentials == {
        "security": "SASL_SSL",
        "mechanism": "PLAIN",
        "username": "ann",
        "password": "pa@ss",
        "ca": "/x.pem",
    }
    assert "pa@ss" not in repr(address)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a", "host or port is not readable"),
        ("a:0", "host or port is not readable"),
        ("a:70000", "host or port is not readable"),
        ("ann@a:1", "a user without a password"),
        ("a:1?security=TLS", "security must be one of"),
        ("a:1?color=red", "unknown option 'color'"),
        ("a:1?security=SASL_SSL", "SASL needs a user and a password"),
    ],
)
def test_what_is_wrong_is_said_without_the_text(text, told):
    with pytest.raises(ValueError, match=told):
        kafka_address(text)


def test_a_password_is_never_repeated():
    with pytest.raises(ValueError, match="not readable") as caught:
        kafka_address("ann:hunter2@a")
    assert "hunter2" not in str(caught.value)
