"""Figures tell what they need to be read, and no word of them is cut or covered by another."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import cache
from itertools import combinations

import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from harness import figures, results, summary
from harness.figures.labels import apart, wrapped
from harness.figures.scales import ticks
from tests.made_run import MEMORY, POSTGRES, STORES, Made, MadeStore, made_run

LONG = "postgres:global-lock{notify=true,payload=bytea,synchronous_commit=local}"
POINTS = tuple({"streams.count": count} for count in (1, 16, 256, 1024))
CLOSE = tuple(
    MadeStore(f"postgres:variant-{letter}", service_us=300.0 + number)
    for number, letter in enumerate("abcdefgh")
)

SETS = {"different": STORES, "alike and long": (*CLOSE, replace(POSTGRES, key=LONG))}


def loaded(tmp_path, made: Made):
    run = results.load(made_run(tmp_path, made))
    return run, figures.about(run.manifest, run.trials)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """`drawn(kind, stores)`: one figure of each kind, drawn once."""

    @cache
    def figure(kind: str, stores: str = "different") -> figures.Drawing:
        return draw(tmp_path_factory.mktemp(kind), kind, SETS[stores])

    return figure


def draw(folder, kind: str, stores) -> figures.Drawing:  # noqa: PLR0911 — one a kind
    """A figure of a run with all that it can show."""
    contended = kind in {"contention", "scaling"}
    made = Made(
        stores=stores,
        points=POINTS if contended else POINTS[:1],
        workload="command" if kind == "contention" else "append",
        load="open" if kind in OPEN else "closed",
        subscribers=kind == "delivery",
        keep_samples=kind in {"latency", "heat_map"},
        operations=2_000 if contended else 20_000,
    )
    run, about = loaded(folder, made)
    match kind:
        case "throughput":
            return figures.throughput(run.trials, about)
        case "delivery":
            return figures.delivery(run.trials, about)
        case "latency":
            curves = summary.latency_curves(run.trials, run.kept_samples)
            return figures.latency(run.trials, curves, about)
        case "heat_map":
            return figures.heat_map(run.trials, run.kept_samples, about)
        case "scaling":
            (alike,) = summary.scaling_groups(run.trials)
            return figures.scaling(alike, about)
        case "over_time":
            return figures.over_time(run.trials, seconds_of(run.trials), about)
        case "searched":
            return figures.searched(searched(run.trials), about)
        case "costing":
            told = run.trials.assign(log_bytes_per_event=512.5)
            return figures.costing(told, "log_bytes_per_event", about)
    (powerful,) = (
        group
        for group in summary.contention_groups(run.trials)
        if (group["durability"] == POSTGRES.durability).all()
    )
    return figures.contention(powerful, about)


def seconds_of(trials: pd.DataFrame) -> pd.DataFrame:
    """Five seconds a trial, as intervals.parquet has them."""
    made = [
        {"trial_id": trial["trial_id"], "key": trial["key"], "second": second, "length_s": 1.0,
         "ok": 1_000 + 10 * second + place}
        for place, (_, trial) in enumerate(trials.iterrows())
        for second in range(5)
    ]  # fmt: skip
    return pd.DataFrame(made, columns=["trial_id", "key", "second", "length_s", "ok"])


def searched(trials: pd.DataFrame) -> pd.DataFrame:
    """The same trials as if their rates had been searched for."""
    rates = 1_000.0 + 10 * trials["repetition"].astype("float64")
    return trials.assign(rate_found="search", rate_per_s=rates, failed_rate_per_s=rates * 1.1)


OPEN = {"delivery", "searched"}
KINDS = pytest.mark.parametrize(
    "kind",
    ["throughput", "latency", "contention", "delivery", "scaling", "over_time", "searched",
     "heat_map", "costing"],
)  # fmt: skip


def texts(figure: figures.Drawing) -> list[Text]:
    """Every word that is seen; ticks outside of an axis' limits are not."""
    found = list(figure.texts)
    for axes in figure.axes:
        found += [*axes.texts, axes.xaxis.label, axes.yaxis.label, *tick_labels(axes)]
    return [text for text in found if text.get_visible() and text.get_text().strip()]


def tick_labels(axes: Axes) -> list[Text]:
    found = []
    for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        low, high = sorted(limits)
        ticked = zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=True)
        found += [label for place, label in ticked if low <= place <= high]
    return found


def boxes(figure: figures.Drawing):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    return [(text.get_text(), text.get_window_extent(renderer)) for text in texts(figure)]


def covered(first, second, slack_px: float = 1.0) -> bool:
    across = min(first.x1, second.x1) - max(first.x0, second.x0)
    down = min(first.y1, second.y1) - max(first.y0, second.y0)
    return across > slack_px and down > slack_px


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
def test_every_store_is_named_in_full(drawn, kind):
    whole = "".join(text.get_text().replace("\n", "") for text in texts(drawn(kind)))
    shown = [store for store in STORES if store.durability == POSTGRES.durability]
    for store in shown if kind == "contention" else STORES:
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


def test_labels_that_would_meet_are_moved_apart_in_their_order():
    centres = apart([1.0, 1.1, 5.0], [1.0, 1.0, 1.0], 9.0)
    assert centres == pytest.approx([0.55, 1.55, 5.0])


def test_labels_stay_between_the_edges_without_meeting():
    centres = apart([0.1, 0.0, 4.9], [1.0, 1.0, 3.0], 5.0)
    assert centres == pytest.approx([1.5, 0.5, 3.5])


def test_a_long_name_is_wrapped_without_losing_a_letter():
    lines = wrapped(LONG, 24)
    assert "".join(lines) == LONG
    assert max(map(len, lines)) <= 24


@pytest.mark.parametrize(("low", "high"), [(4e3, 9e3), (90, 110), (1e3, 1e10), (1.5e5, 2.5e6)])
def test_a_time_axis_has_two_to_twelve_round_ticks(low, high):
    found = ticks(low, high)
    assert 2 <= len(found) <= 12
    assert all(low <= tick <= high for tick in found)


def test_tables_escape_what_they_are_given_and_name_each_cell(tmp_path):
    html = figures.Table(("store", "n"), [("<b>", "1")], numbers=frozenset({"n"}))._repr_html_()
    assert "&lt;b&gt;" in html
    assert 'class="number" data-head="n"' in html


def test_the_ranking_never_puts_two_durability_classes_in_one_table(tmp_path):
    run, _ = loaded(tmp_path, Made(keep_samples=False, operations=500))
    tables = list(figures.rankings(run.trials))
    assert len(tables) == run.trials["durability"].nunique()


def test_what_was_not_run_is_told_with_its_reason(tmp_path):
    undone = MadeStore("null", row={"status": "unsupported", "message": "keeps nothing"})
    run, _ = loaded(tmp_path, Made(stores=(MEMORY, undone), keep_samples=False, operations=500))
    told = str(figures.not_run(run.trials, run.manifest))
    assert "kafka | left out | kafka: no server; needs Java" in told
    assert "null | 3 × unsupported | keeps nothing" in told


def test_settings_are_shown_as_they_were_read_back(tmp_path):
    row = {"settings": json.dumps({"fsync": "off"})}
    run, _ = loaded(tmp_path, Made(stores=(MadeStore("postgres", row=row),), operations=500))
    assert "fsync = off" in str(figures.settings(run.trials))


def test_a_scaling_curve_starts_at_zero_and_joins_medians_in_the_order_of_the_values(drawn):
    (axes, *_) = drawn("scaling").axes
    assert axes.get_ylim()[0] == 0
    labels = [label.get_text() for label in tick_labels(axes)]
    assert [text for text in labels if text in {"1", "16", "256", "1024"}][:4] == [
        "1", "16", "256", "1024",
    ]  # fmt: skip


def test_a_run_of_one_point_has_no_curve(tmp_path):
    run, _ = loaded(tmp_path, Made(keep_samples=False, operations=500))
    assert not list(summary.scaling_groups(run.trials))


def test_a_rate_over_time_leaves_out_the_rest_of_a_second(tmp_path):
    run, _ = loaded(tmp_path, Made(stores=(MEMORY,), keep_samples=False, operations=500))
    seconds = seconds_of(run.trials)
    assert summary.has_rate_over_time(run.trials, seconds)
    short = seconds.assign(length_s=0.1)
    assert summary.rate_over_time(run.trials, short).empty
    assert not summary.has_rate_over_time(run.trials, seconds[seconds["second"] < 2])


def test_the_cells_of_a_heat_map_count_every_operation_that_ended_well(tmp_path):
    run, _ = loaded(tmp_path, Made(stores=(MEMORY,), operations=700))
    counts = summary.heat(run.kept_samples("001-memory"), start="sent_ns")
    assert counts.to_numpy().sum() == 700


def test_a_run_of_pairs_shows_one_store_as_two(tmp_path):
    run, _ = loaded(tmp_path, Made(stores=(POSTGRES,), keep_samples=False, operations=500))
    both = pd.concat([run.trials.assign(side="base"), run.trials.assign(side="candidate")])
    assert set(summary.sided(both)["key"]) == {"postgres (base)", "postgres (candidate)"}
    assert set(summary.sided(run.trials)["key"]) == {"postgres"}
    assert set(summary.candidates_of_pairs(both)["side"]) == {"candidate"}
