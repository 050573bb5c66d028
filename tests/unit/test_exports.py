"""Exports, each held against the tool that reads it or its published schema."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import jsonschema
import mistune
import numpy as np
import pandas as pd
import pytest

from harness import results
from harness.domain.errors import BadInput, Refused
from harness.render.exports import FORMATS, export
from harness.render.exports.markdown import markdown as as_markdown
from harness.results import hlog
from tests.made_run import (
    MEMORY,
    POSTGRES,
    STORES,
    TEMPLATE,
    Made,
    identity,
    made_partial,
    made_run,
)

PUBLISHED = Path(__file__).parent / "published"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    points = [{"load.closed.workers": workers} for workers in (1, 8)]
    return made_run(tmp_path_factory.mktemp("made"), Made(STORES, points, operations=20_000))


def held_to(schema, content):
    jsonschema.validate(content, json.loads((PUBLISHED / schema).read_text()))
    return content


def test_csv_read_by_pandas_is_trials_parquet(run):
    trials = results.load(run).trials
    text = dict.fromkeys(trials.select_dtypes("string"), str)
    missing = {name: [] if name in text else [""] for name in trials}
    read = pd.read_csv(
        io.StringIO(export(run, "csv")), dtype=text, keep_default_na=False, na_values=missing
    )
    assert list(read) == list(trials)
    assert len(read) == len(trials)
    for name in trials.select_dtypes("number"):
        np.testing.assert_array_equal(
            read[name].astype("float64"), trials[name].astype("float64"), err_msg=name
        )
    for name in trials.select_dtypes("string"):
        assert read[name].tolist() == trials[name].tolist(), name


def test_json_read_by_pandas_is_trials_parquet_to_the_last_digit(run):
    trials = results.load(run).trials
    read = pd.DataFrame(json.loads(export(run, "json")))
    assert list(read) == list(trials)
    for name in trials.select_dtypes("number"):
        np.testing.assert_array_equal(
            read[name].astype("float64"), trials[name].astype("float64"), err_msg=name
        )
    for name in trials.select_dtypes("string"):
        assert read[name].tolist() == trials[name].tolist(), name


def test_bmf_keeps_to_benchers_schema_and_its_numbers_are_those_of_the_trials(run):
    found = held_to("bmf.json", json.loads(export(run, "bmf")))
    trials = results.load(run).trials
    mine = trials[(trials["key"] == "postgres") & (trials["point_label"] == "workers=8")]
    measures = found["made-up / closed, 8 workers / workers=8 / postgres"]
    assert measures["throughput"] == {
        "value": mine["throughput_per_s"].median(),
        "lower_value": mine["throughput_per_s"].min(),
        "upper_value": mine["throughput_per_s"].max(),
    }
    assert measures["latency"]["value"] == mine["service_p50_ns"].median()
    assert len(found) == 2 * len(STORES)
    assert all(len(name) <= 1024 for name in found)
    assert all(re.fullmatch(r"[a-z0-9-]{1,64}", name) for of in found.values() for name in of)


def test_an_open_load_exports_response_times(tmp_path):
    folder = made_run(tmp_path, Made((POSTGRES,), load="open"))
    trials = results.load(folder).trials
    (measures,) = json.loads(export(folder, "bmf")).values()
    assert measures["latency-p99"]["value"] == trials["response_p99_ns"].median()


def test_the_two_arrays_part_rates_from_times_and_costs(run):
    bigger = held_to("github-action-benchmark.json", json.loads(export(run, "gha")))
    smaller = held_to("github-action-benchmark.json", json.loads(export(run, "gha-smaller")))
    assert {entry["name"].rsplit(" / ", 1)[1] for entry in bigger} == {"throughput"}
    assert {entry["name"].rsplit(" / ", 1)[1] for entry in smaller} == {"latency", "latency-p99"}
    assert len({entry["name"] for entry in bigger + smaller}) == len(bigger + smaller)


def test_what_does_not_count_is_in_no_tracker(tmp_path):
    row = {"valid": False, "verified": "invalid", "first_violation": "lost: stream 'x'"}
    folder = made_run(tmp_path, Made((MEMORY, replace(POSTGRES, row=row))))
    assert [name.rsplit(" / ")[-1] for name in json.loads(export(folder, "bmf"))] == ["memory"]
    assert "not ranked" not in export(folder, "gha")
    assert "invalid: lost: stream 'x'" in export(folder, "markdown")


def test_markdown_is_tables_for_github_and_text_from_a_run_stays_text(tmp_path):
    name = "evil|<img src=x>"
    folder = made_run(tmp_path, Made((MEMORY, replace(TEMPLATE, row={"key": name}))))
    page = mistune.create_markdown(plugins=["table"], escape=False)(export(folder, "markdown"))
    assert "<img" not in page
    assert "evil|&lt;img src=x&gt;" in page
    assert page.count("<table>") == 2
    heads = re.findall(r"<th[^>]*>([^<]*)</th>", page)
    assert heads == 2 * ["", "store", "ops/s", "least – most", "of best (95 %)", "p50", "p99"]
    best = results.load(folder).trials.query("key == 'memory'")["throughput_per_s"].median()
    assert f"{best:,.0f}</td>" in page


def test_hlog_is_read_by_the_histogram_package(run, tmp_path):
    log = pytest.importorskip("hdrh.log")
    histogram = pytest.importorskip("hdrh.histogram")
    with pytest.raises(Refused, match=r"has no latency\.hlog"):
        export(run, "hlog")
    values_ns = np.arange(1_000, 101_000, 100)
    hlog.append(run / hlog.HLOG_FILE, [hlog.Interval("001-memory:service", 5.0, 1.0, values_ns)])
    file = tmp_path / "out.hlog"
    file.write_text(export(run, "hlog"))
    (run / hlog.HLOG_FILE).unlink()
    reader = log.HistogramLogReader(str(file), histogram.HdrHistogram(1, 3_600_000_000_000, 3))
    assert reader.get_next_interval_histogram().get_total_count() == len(values_ns)
    reader.input_file.close()


@pytest.mark.parametrize("name", FORMATS)
def test_a_run_in_which_nothing_ended_has_nothing_to_export(tmp_path, name):
    folder = made_partial(tmp_path)
    folder.add_trial(identity(run=folder.name))
    with pytest.raises(Refused, match="no trial ended"):
        export(folder.finish(), name)


def test_an_unknown_format_and_what_is_no_run_are_bad_input(run, tmp_path):
    with pytest.raises(BadInput, match="--format xml: expected one of csv, json, bmf"):
        export(run, "xml")
    with pytest.raises(BadInput, match="not a run folder"):
        export(tmp_path, "csv")


EVIL = (
    "a|b", "<img src=x>", "`x`", "two\nlines", "cr\rlf", "[x](javascript:alert(1))", "![x](y)",
    "# head", "- item", "+ item", "1. item", "1) item", "---", "===", "> quote", "*a* _b_ ~~c~~",
    "\\|", "$x$", "https://evil.example", "www.evil.example", "@somebody", "a@b.example", "#12",
    "&amp;", "```", "||", "a\u2028b", "\x1b[31m", "\u202eabc",
)  # fmt: skip


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return results.load(made_run(tmp_path_factory.mktemp("small"), Made((MEMORY, TEMPLATE))))


@pytest.mark.parametrize("text", EVIL)
def test_markdown_shows_text_of_a_run_as_text_wherever_it_stands(small, text):
    """In a cell, a caption, a heading, a remark, and where a run's name is code."""
    columns = dict.fromkeys(("key", "point_label", "load_label", "emulator"), text)
    about = {"name": text, "seed": text, "hash": text}
    manifest = small.manifest | {"run": text, "scenario": about, "commit": {"commit": text}}
    exported = as_markdown(replace(small, manifest=manifest, trials=small.trials.assign(**columns)))
    rendered = mistune.create_markdown(plugins=["table", "strikethrough", "url"], escape=False)
    page = rendered(exported)
    allowed = {"h3", "p", "code", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"}
    assert set(re.findall(r"<\s*/?(\w+)", page)) <= allowed | {"strong"}
    assert page.count("<h3>") == 1
    rows = re.findall(r"<tr>.*?</tr>", page, re.DOTALL)
    assert {len(re.findall(r"<t[dh][ >]", row)) for row in rows} == {7}
    assert not re.search(r"@\w|#\d", re.sub(r"<code>.*?</code>|&#\d+;", "", page))
    assert all(c.isprintable() or c in "\n\u2060" for c in exported)
