"""Out of a whole log, the line that says why."""

import pytest

from harness.servers.native.guard import keep, telling_line

BIND = 'LOG:  could not bind IPv4 address "127.0.0.1": Address already in use'
FATAL = "FATAL:  could not create any TCP/IP sockets"


@pytest.mark.parametrize(
    ("lines", "telling"),
    [
        (["starting", FATAL, "LOG:  database system is shut down"], FATAL),
        (["starting", BIND, "HINT:  Is another one running?", FATAL], BIND),
        (
            ["initdb: error: could not create it", "initdb: removing it"],
            "initdb: error: could not create it",
        ),
        (
            ["java.lang.IllegalStateException: no", "\tat a.b.c(D.java:1)"],
            "java.lang.IllegalStateException: no",
        ),
        (["one", "two", ""], "two"),
        ([""], ""),
    ],
)
def test_the_most_telling_line_is_found(tmp_path, lines, telling):
    log = tmp_path / "server.log"
    log.write_text("\n".join(lines))
    assert telling_line(log) == telling


def test_a_missing_log_says_nothing_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert telling_line(tmp_path / "absent.log") == ""
    assert keep(tmp_path / "absent.log", "postgres") is None
    assert list(tmp_path.iterdir()) == []


def test_only_the_end_of_a_huge_log_is_read(tmp_path):
    log = tmp_path / "server.log"
    log.write_text("FATAL: long ago\n" + "noise\n" * 100_000)
    assert telling_line(log) == "noise"


def test_a_kept_log_outlives_its_folder(tmp_path):
    log = tmp_path / "server.log"
    log.write_text("why")
    kept = keep(log, "postgres")
    log.unlink()
    assert kept is not None
    assert kept.read_text() == "why"
    kept.unlink()
