#!/usr/bin/env bash
# Pins every dependency with hashes, without naming where it came from. Needs `uv`, which `make setup` brings.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=.venv/bin/uv
[[ -x $uv ]] || uv=uv
compile() { "$uv" pip compile -q --no-emit-index-url --generate-hashes --python-version 3.11 --universal --no-header "$@"; }
# UmaDB's server is left out of the files that must install, and has one of its own.
without=(--no-emit-package umadb)
compile "${without[@]}" --extra docker --extra eventstoredb --extra dynamodb --extra hlog --extra kafka --extra postgres --extra umadb --extra notebooks pyproject.toml requirements/build.in -o requirements/bench.txt
compile "${without[@]}" --extra all --extra dev -c requirements/bench.txt pyproject.toml requirements/build.in -o requirements/dev.txt
compile requirements/umadb.in -o requirements/umadb.txt
compile requirements/otava.in -o requirements/otava.txt
compile requirements/uv.in -o requirements/uv.txt
