"""Jars by Maven: what is said where Java or Maven is missing, too old, or cannot fetch."""

import hashlib
import re
import shutil
import stat
from pathlib import Path

import pytest

from harness.domain.errors import NoServer
from harness.servers.native import maven
from harness.servers.native.kafka import POM
from harness.servers.native.place import choose_place, is_plain
from tests.unit.paths import ODD


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


@pytest.fixture
def pom(tmp_path):
    """Of one jar, whose content is known by its hash."""
    path = tmp_path / "shop.xml"
    path.write_text("<project><version>1</version></project>")
    digest = hashlib.sha256(b"a jar").hexdigest()
    path.with_suffix(".sha256").write_text(f"{digest}  a.jar\n")
    return path


def fetches(machine, monkeypatch, *contents):
    """A Maven that fetches these jars, and notes what it was asked."""
    made = "".join(f"printf '{text}' > $d/{name}; " for name, text in contents)
    asked = (
        f"echo $* >> {machine}/asked; for one; do case $one in -Dout*) d=${{one#*=}};; esac; done"
    )
    program(machine, "mvn", f"{asked}; mkdir -p $d; {made}")
    monkeypatch.setenv("PATH", f"{machine}:/bin:/usr/bin")


def test_jars_are_fetched_once_with_strict_checksums_and_appear_whole(machine, monkeypatch, pom):
    fetches(machine, monkeypatch, ("a.jar", "a jar"))
    folder = maven.jars("shop", pom)
    assert [path.name for path in folder.iterdir()] == ["a.jar"]
    assert " --strict-checksums " in (machine / "asked").read_text()
    (machine / "mvn").unlink()
    assert maven.jars("shop", pom) == folder


@pytest.mark.parametrize(
    ("contents", "fault"),
    [
        ([("a.jar", "another")], "a.jar is not the file that the lab knows"),
        ([("a.jar", "a jar"), ("b.jar", "")], "b.jar is unknown"),
        ([("b.jar", "")], "a.jar is missing"),
    ],
)
def test_what_maven_fetches_is_refused_unless_it_is_what_the_lab_knows(
    machine, monkeypatch, pom, contents, fault
):
    fetches(machine, monkeypatch, *contents)
    message = refused(maven.jars, "shop", pom)
    assert message == f"shop: {fault} (SHA-256): Maven's repository has another one"
    assert list((machine.parent / "cache" / "eslab").iterdir()) == []


def test_a_jar_that_changes_in_the_cache_is_refused_by_doctor_and_by_a_run(
    machine, monkeypatch, pom
):
    fetches(machine, monkeypatch, ("a.jar", "a jar"))
    program(machine, "java", "echo 'openjdk version \"17.0.1\"' >&2")
    folder = maven.jars("shop", pom)
    assert maven.available("shop", pom) == "1"
    (folder / "a.jar").write_text("b jar")
    message = refused(maven.jars, "shop", pom)
    assert message == (
        "shop: a.jar is not the file that the lab knows (SHA-256): "
        f"remove {folder} to fetch it again"
    )
    assert refused(maven.available, "shop", pom) == message


def test_maven_and_java_see_plain_paths_wherever_the_cache_is(
    machine, monkeypatch, pom, tmp_path_factory
):
    odd = tmp_path_factory.mktemp("odd") / ODD
    odd.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(odd))
    monkeypatch.setattr("tempfile.tempdir", str(odd))
    fetches(machine, monkeypatch, ("a.jar", "a jar"))
    folder = maven.jars("shop", pom)
    assert folder.is_relative_to(odd)
    assert ODD not in (machine / "asked").read_text()
    place = choose_place("shop", scratch=odd, account=None)
    place.make()
    copy = maven.plain_jars("shop", pom, place)
    assert is_plain(copy.resolve())
    assert (copy / "a.jar").read_text() == "a jar"
    for made in place.folders:
        shutil.rmtree(made)


@pytest.mark.parametrize("home", [None, "", "relative"])
def test_without_a_home_one_line_says_where_jars_could_be_kept(machine, monkeypatch, home):
    program(machine, "java", "echo 'openjdk version \"17.0.1\"' >&2")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME") if home is None else monkeypatch.setenv("HOME", home)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
    message = "no home folder to keep kafka's jars in; set XDG_CACHE_HOME to a folder that you"
    assert refused(maven.available, "kafka", POM).startswith(message)
    assert refused(maven.jars, "kafka", POM).startswith(message)


def test_a_cache_that_cannot_be_made_is_told_by_doctor_and_by_a_run(machine, monkeypatch, tmp_path):
    for name in ("java", "mvn"):
        program(machine, name, "echo 'openjdk version \"17.0.1\"' >&2")
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file" / "cache"))
    message = f"kafka's jars cannot be kept in {tmp_path}/file/cache/eslab; set XDG_CACHE_HOME"
    assert refused(maven.available, "kafka", POM).startswith(message)
    assert refused(maven.jars, "kafka", POM).startswith(message)


@pytest.mark.parametrize("listed", sorted(POM.parent.glob("*.xml")), ids=lambda pom: pom.stem)
def test_every_pom_has_its_hashes_in_a_file_without_addresses(listed):
    lines = listed.with_suffix(".sha256").read_text().splitlines()
    assert all(re.fullmatch(r"[0-9a-f]{64}  [A-Za-z0-9._-]+", line) for line in lines)
    names = [line.split()[1] for line in lines]
    assert names == sorted(set(names))
