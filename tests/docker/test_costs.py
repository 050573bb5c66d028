"""What an append costs is counted on a container too: Debian's PostgreSQL is versions older."""

from __future__ import annotations

from harness import results

from ..e2e.command import eslab, the_run


def test_an_older_server_in_a_container_counts_what_an_append_costs(tmp_path):
    done = eslab(
        "run", "scenarios/quick.yaml", "--servers", "docker", "--stores", "postgres",
        "--set", "operations=1000", "--repeat", "1", "--out", tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (trial,) = results.load(the_run(tmp_path)).trials.to_dict("records")
    assert trial["provider"] == "docker"
    # A conflict of an append that expects a version is a trip and a commit more.
    assert trial["commits_per_event"] == trial["round_trips_per_event"]
    assert 1.0 <= trial["round_trips_per_event"] <= 1.1
    assert 0 < trial["syncs_per_event"] <= 1.01
    assert trial["log_bytes_per_event"] > trial["full_page_bytes_per_event"] > 0
