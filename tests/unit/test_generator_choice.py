"""Choosing streams: the declared distribution is what comes out."""

from collections import Counter
from random import Random

import pytest

from harness.load.events import chooser
from harness.scenario.model import Streams, Zipf


def drawn(choice, count=100, draws=20_000):
    streams = Streams(count=count, choice=choice)
    choose, rng = chooser(streams, streams.names), Random(1)
    return Counter(choose(rng) for _ in range(draws))


def test_uniform_choice_is_flat():
    counts = drawn("uniform")
    assert len(counts) == 100
    assert max(counts.values()) < 1.4 * 200


@pytest.mark.parametrize("exponent", [0.8, 1.1, 1.5])
def test_zipf_choice_follows_its_real_exponent(exponent):
    counts = drawn(Zipf(zipf=exponent), draws=100_000)
    for rank in (2, 4, 10):
        ratio = counts["order-0"] / counts[f"order-{rank - 1}"]
        assert ratio == pytest.approx(rank**exponent, rel=0.2)


def test_latest_choice_moves_on_through_all_streams():
    counts = drawn("latest", count=50)
    assert len(counts) == 50
    assert max(counts.values()) < 2 * min(counts.values())


def test_latest_choice_prefers_the_newest():
    streams = Streams(count=1000, choice="latest")
    choose, rng = chooser(streams, streams.names), Random(1)
    distances = [(turn - int(choose(rng).split("-")[1])) % 1000 for turn in range(1, 1001)]
    assert sum(distance < 30 for distance in distances) > 400


def test_the_same_seed_chooses_the_same_streams():
    assert drawn(Zipf(zipf=1.1)) == drawn(Zipf(zipf=1.1))
