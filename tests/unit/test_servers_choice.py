"""Which way a run takes to its servers, on tables whose every answer is written down here."""

from dataclasses import dataclass

import pytest

from harness.domain.errors import BadInput
from harness.domain.server import Availability
from harness.servers import WAYS, choice, choose_way, probe


@dataclass(frozen=True)
class Answer:
    """A way whose probe is known beforehand."""

    availability: Availability

    def probe(self):
        return self.availability


@dataclass(frozen=True)
class Row:
    """A technology with these ways."""

    providers: dict[str, Answer]


def row(technology, **ways):
    """Each way as ready, not ready, or named by the user and yet not answering."""
    return {
        way: Answer(
            Availability(
                technology, way, ready=said == "ready", detail=said, named=said.startswith("named")
            )
        )
        for way, said in {**dict.fromkeys(WAYS, "not there"), **ways}.items()
    }


@pytest.fixture
def table(monkeypatch):
    def put(**rows):
        built = {name: Row(row(name, **ways)) for name, ways in rows.items()}
        monkeypatch.setattr(choice, "TECHNOLOGIES", built)

    return put


def test_auto_takes_native_where_nothing_else_is_there(table):
    table(postgres={"external": "set X", "native": "ready"})
    assert choose_way(["postgres"], "auto").ways == {"postgres": "native"}


def test_auto_takes_one_way_for_all_and_names_what_that_leaves_out(table):
    table(
        postgres={"external": "ready", "native": "ready"},
        kafka={"external": "set Y", "native": "ready"},
    )
    chosen = choose_way(["postgres", "kafka"], "auto")
    assert chosen.ways == {"postgres": "external"}
    assert chosen.reasons == {
        "kafka": "kafka: external: set Y (or --servers mixed: native is ready)"
    }


def test_auto_prefers_docker_to_native_for_all(table):
    table(
        postgres={"docker": "ready", "native": "ready"},
        kafka={"docker": "ready", "native": "ready"},
    )
    assert choose_way(["postgres", "kafka"], "auto").ways == {
        "postgres": "docker",
        "kafka": "docker",
    }


def test_a_server_that_the_user_named_is_not_passed_over_because_it_is_down(table):
    table(postgres={"external": "named, no answer", "native": "ready"})
    for asked in ("auto", "mixed"):
        chosen = choose_way(["postgres"], asked)
        assert chosen.ways == {}
        assert "no answer" in chosen.reasons["postgres"]


def test_mixed_takes_the_first_way_of_each(table):
    table(
        postgres={"external": "ready", "native": "ready"},
        kafka={"external": "set Y", "native": "ready"},
    )
    assert choose_way(["postgres", "kafka"], "mixed").ways == {
        "postgres": "external",
        "kafka": "native",
    }


def test_a_way_that_was_asked_for_is_the_only_one_looked_at(table):
    table(postgres={"external": "set X", "native": "ready"})
    chosen = choose_way(["postgres"], "external")
    assert chosen.ways == {}
    assert chosen.reasons == {
        "postgres": "postgres: external: set X (or --servers mixed: native is ready)"
    }


def test_where_no_way_is_open_each_says_what_would_open_it(table):
    table(postgres={"external": "set X", "native": "install Z"})
    chosen = choose_way(["postgres"], "auto")
    assert chosen.ways == {}
    assert chosen.reasons == {
        "postgres": "postgres: external: set X; docker: not there; native: install Z"
    }


def test_no_technologies_need_no_way(table):
    table(postgres={"native": "ready"})
    assert choose_way([], "auto").ways == {}


@pytest.mark.parametrize("technology", ["postgres", "kafka"])
@pytest.mark.parametrize("asked", ["podman", ""])
def test_an_unknown_way_is_refused_and_the_known_ones_are_named(table, technology, asked):
    table(postgres={"native": "ready"}, kafka={"native": "ready"})
    with pytest.raises(BadInput, match="allowed: auto, external, docker, native, mixed"):
        choose_way([technology], asked)


def test_an_unknown_technology_is_refused_and_the_known_ones_are_named(table):
    table(postgres={"native": "ready"})
    with pytest.raises(BadInput, match=r"'oracle'.*allowed: postgres"):
        choose_way(["oracle"], "auto")


def test_a_malformed_address_is_bad_input_to_a_run_and_a_detail_to_the_doctor(monkeypatch):
    monkeypatch.setenv("ESLAB_POSTGRES_DSN", "mysql://ann:hunter2@db/shop")
    with pytest.raises(BadInput, match="ESLAB_POSTGRES_DSN: the scheme 'mysql'"):
        choose_way(["postgres"], "auto")
    answer = probe("postgres", "external")
    assert not answer.ready
    assert "the scheme 'mysql'" in answer.detail
    assert "hunter2" not in repr(answer)


def test_the_doctor_hears_what_would_make_each_way_ready(monkeypatch):
    monkeypatch.delenv("ESLAB_POSTGRES_DSN", raising=False)
    assert probe("postgres", "external").detail == "set ESLAB_POSTGRES_DSN"
    assert "the engine is not running" in probe("postgres", "docker").detail
