"""A full disk behind standard output, too little memory, a cache out of reach: one line each."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from harness.domain.errors import NoServer
from harness.servers.native import kafka, maven

ROOT = Path(__file__).parents[2]
RUN = ROOT / "tests" / "golden" / "runs" / "closed"
ESLAB = [sys.executable, "-m", "harness"]


@pytest.mark.parametrize("arguments", [["list", "workloads"], ["--help"], ["show", RUN, "--json"]])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_output_to_a_full_disk_is_one_line(arguments):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*ESLAB, *map(str, arguments)], stdout=full, stderr=subprocess.PIPE, text=True,
            check=False, cwd=ROOT,
        )  # fmt: skip
    told = "eslab: standard output: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, told)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit address space")
def test_too_little_memory_is_one_line():
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (150_000 * 1024, 150_000 * 1024))

    done = subprocess.run(
        [*ESLAB, "show", str(RUN)], capture_output=True, text=True, check=False, preexec_fn=limit,
        cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("eslab: not enough memory")
    assert done.stderr.count("\n") == 1


def test_a_cache_that_may_not_be_read_is_one_line(monkeypatch, tmp_path):
    """A name that is too long stands for a folder without rights, which root would have."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ("x" * 300)))
    with pytest.raises(NoServer, match="set XDG_CACHE_HOME to a folder") as refused:
        maven.available("kafka", kafka.POM)
    assert "\n" not in str(refused.value)


def test_a_message_has_a_bounded_length_and_nothing_that_a_terminal_obeys(tmp_path):
    done = subprocess.run(
        [*ESLAB, "show", "\x1b[31m" + "x" * 5000], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert len(done.stderr) < 1100
    assert "\x1b" not in done.stderr
    assert done.stderr.count("\n") == 1
