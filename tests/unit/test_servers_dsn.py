"""`ESLAB_POSTGRES_DSN`: what is understood, what is refused, and what is never shown."""

import pytest

from harness.servers.external import postgres_address

SECRET = "hunter2"


def test_the_password_is_set_apart_from_the_address():
    address = postgres_address(f"postgresql://ann:{SECRET}@db.example:6000/shop?sslmode=require")
    assert address.address == "postgresql://ann@db.example:6000/shop?sslmode=require"
    assert address.credentials == {"password": SECRET}
    assert address.hosts == (("db.example", 6000),)
    assert SECRET not in repr(address)


def test_a_password_in_the_query_is_set_apart_too():
    address = postgres_address(
        f"postgres://db/shop?user=ann&password={SECRET}&sslpassword={SECRET}"
    )
    assert SECRET not in address.address
    assert address.credentials == {"password": SECRET, "sslpassword": SECRET}


def test_an_encoded_password_is_decoded_and_an_encoded_user_stays_as_it_was():
    address = postgres_address("postgresql://a%40b:p%40%2Fss@db/shop")
    assert address.credentials == {"password": "p@/ss"}
    assert address.address == "postgresql://a%40b@db/shop"


def test_an_address_without_a_password_has_no_credentials():
    assert postgres_address("postgresql://ann@db/shop").credentials == {}


@pytest.mark.parametrize(
    ("dsn", "hosts"),
    [
        ("postgresql://db", (("db", 5432),)),
        ("postgresql://db/shop?port=6000", (("db", 6000),)),
        ("postgresql://[::1]:6000/shop", (("::1", 6000),)),
        ("postgresql://one:1,two:2/shop", (("one", 1), ("two", 2))),
        ("postgresql:///shop?host=/run/pg&port=6000", (("/run/pg/.s.PGSQL.6000", 0),)),
        ("postgresql:///shop?host=/a%3Ab/50%2520", (("/a:b/50%20/.s.PGSQL.5432", 0),)),
        ("postgresql:///shop?host=/a%40b/%23+%26", (("/a@b/# &/.s.PGSQL.5432", 0),)),
        ("postgresql://%2Frun%2Fpg/shop", (("/run/pg/.s.PGSQL.5432", 0),)),
        ("postgresql:///shop", (("/var/run/postgresql/.s.PGSQL.5432", 0),)),
    ],
)
def test_every_way_to_name_a_host_is_understood(dsn, hosts):
    assert postgres_address(dsn).hosts == hosts


@pytest.mark.parametrize(
    ("dsn", "message"),
    [
        (f"mysql://ann:{SECRET}@db/shop", "the scheme 'mysql' is not PostgreSQL's"),
        (f"host=db password={SECRET}", "not a DSN"),
        (f"postgresql://ann:{SECRET}@[::1/shop", "not readable as a DSN"),
        (f"postgresql://ann:{SECRET}@db:port/shop", "host or port is not readable"),
        (f"postgresql://ann:{SECRET}@db:99999/shop", "host or port is not readable"),
        (f"postgresql://ann:12/{SECRET}@db/shop", "in a password as %2F"),
        (f"postgresql://ann:12?{SECRET}@db/shop", "in a password as %2F"),
        (f"postgresql://ann:12#{SECRET}@db/shop", "in a password as %2F"),
        (f"postgresql://ann:{SECRET}@d\u2100b/shop", "not readable as a DSN"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_without_the_text(dsn, message):
    with pytest.raises(ValueError, match=message) as caught:
        postgres_address(dsn)
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
