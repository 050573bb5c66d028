"""When warm-up was over, on series whose answer is known: none of them is a measurement."""

from __future__ import annotations

import numpy as np
import pytest

from harness.run.steadiness import BATCHES, mattering_cut, mser, steadiness
from harness.run.trial_samples import Completions
from harness.scenario.model import ClosedLoop, OpenLoop

S = 1_000_000_000
T = np.arange(BATCHES)
OPEN = OpenLoop(rate_per_s=1000, arrivals="uniform", in_flight_max=64)


def noisy(shape, seed, scatter=0.03):
    return 1000 * shape * np.random.default_rng(seed).normal(1, scatter, BATCHES)


@pytest.fixture
def completions():
    """Operations that ended well, spread evenly inside batches of the window."""

    def made(per_batch, **shape):
        columns = spread(per_batch, **shape)
        found = Completions(len(columns["done_ns"]), open_loop=True)
        for block in np.array_split(np.arange(len(columns["done_ns"])), 3):
            found.extend({name: column[block] for name, column in columns.items()})
        return found

    return made


def spread(per_batch, length_s=4.0, latency_ns=1_000_000):
    starts = np.repeat(T, per_batch)
    within = np.concatenate([np.linspace(0.01, 0.99, n) for n in per_batch])
    done = ((starts + within) * length_s / BATCHES * S).astype(np.int64)
    latency = np.broadcast_to(np.asarray(latency_ns, np.int64), done.shape)
    return {
        "done_ns": done, "intended_ns": done - latency, "sent_ns": done - latency,
    }  # fmt: skip


def test_the_cut_is_where_a_step_ends():
    assert mser(np.where(T < 7, 0.5, 1.0) * 1000 + np.tile([1.0, -1.0], BATCHES // 2), 20) == 7


@pytest.mark.parametrize("seed", range(20))
def test_a_series_that_is_steady_from_the_start_is_left_whole(seed):
    assert mattering_cut(noisy(np.ones(BATCHES), seed)) == 0


@pytest.mark.parametrize("seed", range(20))
def test_a_ramp_is_cut_off(seed):
    cut = mattering_cut(noisy(np.minimum(1, 0.4 + T / 16), seed, scatter=0.01))
    assert 7 <= cut <= 20


def test_a_series_that_goes_on_changing_never_became_steady():
    assert mattering_cut(noisy(1 - T / 60, 1)) is None
    assert mattering_cut(noisy(np.where((T >= 22) & (T < 30), 0.0, 1.0), 1)) is None


def test_a_step_that_hardly_changes_the_mean_does_not_matter():
    assert mattering_cut(np.where(T < 2, 0.9, 1.0) * 1000 + T % 2) == 0


def test_a_closed_loop_is_judged_by_throughput(completions):
    rates = np.where(T < 8, 20, 60)
    found = steadiness(ClosedLoop(workers=8), 0, completions(rates))
    assert found.after_s == pytest.approx(0.8, abs=0.1)


def test_an_open_loop_is_judged_by_response_time_since_its_rate_is_given(completions):
    latency = np.repeat(np.where(T < 8, 9_000_000, 1_000_000), 50)
    operations = completions(np.full(BATCHES, 50), latency_ns=latency)
    assert steadiness(OPEN, 0, operations).after_s == pytest.approx(0.8, abs=0.1)
    assert steadiness(ClosedLoop(workers=8), 0, operations).after_s == 0


def test_a_batch_in_which_nothing_ended_is_as_the_one_before(completions):
    counts = np.where(T == 0, 0, np.where(T == 20, 0, 60))
    found = steadiness(OPEN, 0, completions(counts))
    assert found.after_s == 0


def test_a_window_of_a_moment_tells_nothing(completions):
    operations = completions(np.where(T < 8, 20, 60), length_s=0.5)
    assert steadiness(ClosedLoop(workers=8), 0, operations) is None


def test_too_few_operations_tell_nothing(completions):
    assert steadiness(OPEN, 0, completions(np.full(BATCHES, 5))) is None
