#!/usr/bin/env bash
# Builds the lab's images from Debian, Maven and Python packages: no image registry is asked for
# anything. Needs docker, mmdebstrap, mvn and pip; takes the host's own package sources.
set -euo pipefail
cd "$(dirname "$0")"
root=..
services=("$@")
((${#services[@]})) || services=(postgres kafka dynamodb umadb)

log=$(mktemp)
trap 'rm -f "$log"' EXIT

base() {
    docker image inspect lab/debian:12 >/dev/null 2>&1 && return
    echo "base image: Debian 12 by mmdebstrap (half a minute)"
    local work
    work=$(mktemp -d)
    mmdebstrap --quiet --variant=minbase bookworm "$work/base.tar" /etc/apt/sources.list.d/debian.sources
    docker import "$work/base.tar" lab/debian:12 >/dev/null
    rm -rf "$work"
}

jars() {
    rm -rf "$1/lib"
    mvn -q -B --strict-checksums -f "$root/harness/servers/native/poms/$1.xml" dependency:copy-dependencies "-DoutputDirectory=$PWD/$1/lib"
    local hashes
    hashes=$(realpath "$root/harness/servers/native/poms/$1.sha256")
    (cd "$1/lib" && sha256sum --check --strict --quiet "$hashes" && [[ $(ls | wc -l) -eq $(wc -l <"$hashes") ]]) || {
        echo "$1: its jars are not those that the lab knows ($hashes)" >&2
        exit 1
    }
}

# The package of the host's machine, whose interface is that of every Python 3.
package() {
    local python=$root/.venv/bin/python
    "$python" -m pip --version >/dev/null 2>&1 || python=python3
    rm -rf "$1/lib"
    "$python" -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary=:all: --no-deps --no-compile --target "$1/lib" -r "$root/requirements/$1.txt"
}

# A jar without classes, whose manifest names the main class and the other jars.
starter() {
    local jar=$1 main=$2 lib=$3 folder=$4
    python3 - "$jar" "$main" "$lib" "$folder" <<'PYTHON'
import pathlib, sys, zipfile

jar, main, lib, folder = sys.argv[1:]
entries = " ".join(f"{folder}/{each.name}" for each in sorted(pathlib.Path(lib).glob("*.jar")))
line = f"Class-Path: {entries}"
# A manifest's lines hold 72 bytes; the next ones begin with a space.
folded = "\r\n ".join(line[at : at + 70] for at in range(0, len(line), 70))
with zipfile.ZipFile(jar, "w") as archive:
    archive.writestr("META-INF/MANIFEST.MF", f"Manifest-Version: 1.0\r\nMain-Class: {main}\r\n{folded}\r\n\r\n")
PYTHON
}

version() { grep -m1 -oP '(?<=<version>)[^<$]+' "$root/harness/servers/native/poms/$1.xml"; }

tag() {
    case $1 in
    postgres) echo debian12 ;;
    umadb) grep -oP '(?<=^umadb==)[\d.]+' "$root/requirements/umadb.txt" ;;
    *) version "$1" ;;
    esac
}

base
for service in "${services[@]}"; do
    echo "lab/$service:$(tag "$service")"
    case $service in
    kafka) jars kafka ;;
    dynamodb)
        jars dynamodb
        starter dynamodb/DynamoDBLocal.jar software.amazon.dynamodb.services.local.main.ServerRunner dynamodb/lib DynamoDBLocal_lib
        ;;
    umadb) package umadb ;;
    esac
    # The classic builder: BuildKit is a plugin of its own that not every machine has.
    DOCKER_BUILDKIT=0 docker build --quiet --tag "lab/$service:$(tag "$service")" "$service" >"$log" 2>&1 || {
        tail -n 5 "$log" >&2
        exit 1
    }
done
docker image ls --filter 'reference=lab/*'
