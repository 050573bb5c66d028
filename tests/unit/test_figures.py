"""Figures tell what they need to be read, and no word of them is cut or covered by another."""

from __future__ import annotations

import re
from functools import cache
from itertools import combinations

import pytest

from harness.analysis import summary
from harness.render import figures
from tests.made_run import MEMORY, POSTGRES, STORES, Made, MadeStore

from . import contrast
from .drawings import KINDS, OPEN, SETS, draw, loaded
from .words_seen import boxes, covered, texts, tick_labels


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """`drawn(kind, stores)`: one figure of each kind, drawn once."""

    @cache
    def figure(kind: str, stores: str = "different") -> figures.Drawing:
        return draw(tmp_path_factory.mktemp(kind), kind, SETS[stores])

    return figure


@KINDS
@pytest.mark.parametrize("stores", list(SETS))
def test_no_word_is_cut_by_the_edge_or_covered_by_another(drawn, kind, stores):
    figure = drawn(kind, stores)
    found = boxes(figure)
    edge = figure.bbox
    cut = [
        text
        for text, box in found
        if box.x0 < 0 or box.y0 < 0 or box.x1 > edge.x1 or box.y1 > edge.y1
    ]
    assert not cut
    met = [(a[0], b[0]) for a, b in combinations(found, 2) if covered(a[1], b[1])]
    assert not met


@KINDS
def test_a_figure_carries_title_load_durability_machine_commit_and_flags(drawn, kind):
    said = re.sub(r"\s+", " ", " ".join(text.get_text() for text in texts(drawn(kind))))
    load = "open, 500/s poisson" if kind in OPEN else "closed, 8 workers"
    flags = ("fewer than 5 repetitions", "41 findings in what it kept: postgres:template")
    for words in (load, "power-loss safe", "Made-up CPU 9000", "2 cores", "0123456789", *flags):
        assert words in said


@KINDS
def test_every_word_stands_out_from_the_paper_in_light_and_dark(drawn, kind):
    colours = contrast.of_text(drawn(kind).svg())
    assert colours
    for colour in colours:
        assert contrast.on_white(colour) >= contrast.LEAST, colour
        assert contrast.in_the_dark(colour) >= contrast.LEAST, colour


@KINDS
def test_every_store_is_named_in_full(drawn, kind):
    whole = "".join(text.get_text().replace("\n", "") for text in texts(drawn(kind)))
    shown = [store for store in STORES if store.durability == POSTGRES.durability]
    for store in shown if kind in {"contention", "rules"} else STORES:
        assert store.key in whole


def test_a_latency_figure_shows_how_many_samples_each_curve_has(drawn):
    said = [text.get_text() for text in texts(drawn("latency"))]
    assert said.count("n = 20,000 × 3") == len(STORES)


def test_too_few_samples_for_a_curve_are_named(tmp_path):
    run, about = loaded(tmp_path, Made(stores=(MEMORY,), operations=50))
    curves = summary.latency_curves(run.trials, run.samples)
    said = " ".join(text.get_text() for text in texts(figures.latency(run.trials, curves, about)))
    assert "too few samples for a curve" in said


def test_a_delivery_before_the_answer_to_the_writer_is_drawn_below_zero(tmp_path):
    made = Made(stores=(MEMORY, POSTGRES), load="open", subscribers=True, operations=500)
    run, about = loaded(tmp_path, made)
    run.trials.loc[run.trials["key"] == "memory", "delivery_p50_ns"] = -3_000.0
    figure = figures.delivery(run.trials, about)
    said = [text.get_text() for text in texts(figure)]
    assert said.count("0") == 2
    assert any(text.startswith("p50 -3 µs") for text in said)
    assert not [pair for pair in combinations(boxes(figure), 2) if covered(pair[0][1], pair[1][1])]


def test_what_does_not_count_is_hollow_and_says_why(tmp_path):
    broken = MadeStore("memory", row={"valid": False, "first_violation": "event-lost: stream x"})
    run, about = loaded(tmp_path, Made(stores=(broken,), keep_samples=False))
    figure = figures.throughput(run.trials, about)
    assert "not ranked: invalid: event-lost" in " ".join(text.get_text() for text in texts(figure))
    assert any(line.get_markerfacecolor() == "none" for line in figure.axes[0].lines)


def test_a_figure_of_stores_that_could_not_run_is_drawn_all_the_same(tmp_path):
    undone = MadeStore(
        "null", row={"status": "failed", "throughput_per_s": None, "service_p50_ns": None}
    )
    run, about = loaded(tmp_path, Made(stores=(undone,), keep_samples=False))
    curves = summary.latency_curves(run.trials, lambda _: None)
    for figure in (
        figures.throughput(run.trials, about),
        figures.latency(run.trials, curves, about),
        figures.contention(run.trials, about),
        figures.heat_map(run.trials, lambda _: None, about),
        figures.costing(run.trials, "log_bytes_per_event", about),
        figures.scaling(run.trials, about),
    ):
        assert "<svg" in figure.svg()


def test_a_store_looks_the_same_in_every_figure_of_a_run(tmp_path):
    run, about = loaded(tmp_path, Made(keep_samples=False, operations=500))
    marks = {(mark.colour, mark.marker) for mark in about.marks.values()}
    assert len(marks) == run.trials["key"].nunique()


def test_an_svg_is_one_element_with_real_text_and_a_title_for_those_who_cannot_see(drawn):
    figure = drawn("throughput")
    svg = figure.svg()
    assert svg.startswith("<svg ")
    assert svg.rstrip().endswith("</svg>")
    assert "<title>Median throughput by store" in svg
    assert "postgres:template</text>" in svg
    assert svg == figure.svg()


def test_a_scaling_curve_starts_at_zero_and_joins_medians_in_the_order_of_the_values(drawn):
    (axes, *_) = drawn("scaling").axes
    assert axes.get_ylim()[0] == 0
    labels = [label.get_text() for label in tick_labels(axes)]
    assert [text for text in labels if text in {"1", "16", "256", "1024"}][:4] == [
        "1", "16", "256", "1024",
    ]  # fmt: skip
