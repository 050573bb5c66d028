"""What the lab's own servers listen at, as the system knows it: nobody outside can connect."""

from __future__ import annotations

import ipaddress
import re
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from harness.servers import TECHNOLOGIES, probe
from harness.servers.native import dynamodb, maven

NATIVE = [name for name in TECHNOLOGIES if probe(name, "native").ready]
TABLES = [Path("/proc/net", name) for name in ("tcp", "tcp6", "udp", "udp6")]
_LISTENING, _NOT_CONNECTED = "0A", "07"
"""States of a TCP socket that accepts, and of a UDP socket that takes from anybody."""
pytestmark = pytest.mark.skipif(not TABLES[0].exists(), reason="no /proc/net on this system")


def inodes(root: psutil.Process) -> set[str]:
    """The sockets that a process tree holds open."""
    family = [root, *root.children(recursive=True)]
    handles = [handle for each in family for handle in Path(f"/proc/{each.pid}/fd").iterdir()]
    links = [str(handle.readlink()) for handle in handles if handle.is_symlink()]
    return {link[8:-1] for link in links if link.startswith("socket:[")}


def open_to(sockets: set[str]) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The addresses at which any of these sockets listens."""
    rows = [row.split() for table in TABLES for row in table.read_text().splitlines()[1:]]
    return [
        address(row[1].partition(":")[0])
        for row in rows
        if row[9] in sockets and row[3] in (_LISTENING, _NOT_CONNECTED)
    ]


def address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """As the table spells it: words of four bytes, each in the machine's order."""
    words = bytes.fromhex(text)
    parts = [words[at : at + 4] for at in range(0, len(words), 4)]
    swapped = b"".join(part[::-1] if sys.byteorder == "little" else part for part in parts)
    found = ipaddress.ip_address(swapped)
    return getattr(found, "ipv4_mapped", None) or found


@pytest.mark.parametrize("technology", NATIVE)
def test_a_native_server_listens_on_the_loopback_interface_alone(servers, technology):
    server = servers(technology)
    if server.endpoint.provider != "native":
        pytest.skip(f"{technology} is not the lab's own process here")
    sockets = inodes(psutil.Process(server.endpoint.pid))
    assert sockets, "the server's sockets cannot be seen"
    assert [str(each) for each in open_to(sockets) if not each.is_loopback] == []


def test_the_class_that_runs_is_made_from_the_source_beside_it(tmp_path):
    """By its instructions: compilers of other versions order constants in other ways."""
    compiler, lister = shutil.which("javac"), shutil.which("javap")
    if not (compiler and lister and "dynamodb" in NATIVE):
        pytest.skip("no Java compiler here")
    jars = f"{maven.jars('dynamodb', dynamodb.POM)}/*"
    source = Path(dynamodb.__file__).with_name("java") / "DynamoOnLoopback.java"
    options = ["--release", "17", "-g:none", "-cp", jars, "-d", str(tmp_path)]
    subprocess.run([compiler, *options, str(source)], check=True)
    listed = [
        subprocess.run(
            [lister, "-p", "-c", "-cp", str(folder), source.stem],
            capture_output=True, text=True, check=True,
        ).stdout
        for folder in (tmp_path, source.parent)
    ]  # fmt: skip
    without_numbers = [re.sub(r"#\d+", "#", text) for text in listed]
    assert without_numbers[0] == without_numbers[1]
