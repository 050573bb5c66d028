"""Jars by Maven: what is said where Java or Maven is missing, too old, or cannot fetch."""

import stat
from pathlib import Path

import pytest

from harness.errors import NoServer
from harness.servers import maven
from harness.servers.kafka import POM


def program(folder: Path, name: str, script: str) -> None:
    """A real executable in place of the one on PATH."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with nothing on PATH and an empty cache."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return programs


def refused(call, *arguments):
    with pytest.raises(NoServer) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_java_one_line_says_what_to_install(machine):
    assert refused(maven.available, "kafka", POM) == "install Java 17 or later (a JRE is enough)"


@pytest.mark.parametrize(
    ("told", "version"), [('openjdk version "11.0.2"', 11), ('java version "1.8.0_292"', 8)]
)
def test_a_java_that_is_too_old_is_named_with_its_version(machine, told, version):
    program(machine, "java", f"echo '{told}' >&2")
    assert f"is version {version}; install Java 17 or later" in refused(maven.java)


def test_a_java_that_does_not_run_is_named(machine):
    program(machine, "java", "exit 1")
    assert "does not run; install Java 17" in refused(maven.java)


def test_java_home_comes_before_the_path(machine, tmp_path, monkeypatch):
    program(machine, "java", "echo 'version \"11\"' >&2")
    home = tmp_path / "jdk" / "bin"
    home.mkdir(parents=True)
    program(home, "java", "echo 'openjdk version \"21.0.1\"' >&2")
    monkeypatch.setenv("JAVA_HOME", str(home.parent))
    assert maven.java() == str(home / "java")


def test_without_maven_one_line_says_what_it_is_for(machine):
    program(machine, "java", "echo 'openjdk version \"17.0.1\"' >&2")
    expected = "install Maven (mvn): it fetches kafka's jars once"
    assert refused(maven.available, "kafka", POM) == expected


def test_artefacts_out_of_reach_are_one_line_without_an_address(machine):
    lines = (
        "[ERROR] Failed to execute goal on project kafka",
        "[ERROR] Could not transfer artifact a:b:jar:1 (https://repo.invalid/x): Unknown host",
    )
    program(machine, "mvn", "\n".join(f"echo '{line}'" for line in lines) + "\nexit 1")
    message = refused(maven.jars, "kafka", POM)
    assert message.startswith("Maven could not fetch kafka's jars: Could not transfer artifact")
    assert "invalid" not in message
    assert list((machine.parent / "cache" / "eslab").iterdir()) == []


def test_jars_are_fetched_once_and_appear_whole(machine, monkeypatch):
    program(machine, "mvn", "for one; do :; done; d=${one#*=}; mkdir -p $d; echo x > $d/a.jar")
    monkeypatch.setenv("PATH", f"{machine}:/bin:/usr/bin")
    folder = maven.jars("kafka", POM)
    assert [path.name for path in folder.iterdir()] == ["a.jar"]
    (machine / "mvn").unlink()
    assert maven.jars("kafka", POM) == folder
