"""Checks that restart, kill and pause the server do so to a container, too."""

from __future__ import annotations

import json

from ..e2e.command import eslab

HURTING = "26,37,48,49"


def test_the_checks_that_hurt_a_server_reach_a_container(tmp_path):
    done = eslab(
        "conformance", "--stores", "postgres", "--servers", "docker", "--checks", HURTING,
        "--out", tmp_path, "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (store,) = json.loads(done.stdout)["stores"]
    assert store["provider"] == "docker"
    assert [(each["check"], each["word"]) for each in store["results"]] == [
        (int(number), "holds") for number in HURTING.split(",")
    ]
