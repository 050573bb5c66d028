#!/usr/bin/env bash
# Pins every dependency with hashes, without naming where it came from. Needs `uv`.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() { uv pip compile -q --no-emit-index-url --generate-hashes --python-version 3.11 --universal --no-header "$@"; }
compile --extra docker --extra eventstoredb --extra dynamodb --extra hlog --extra kafka --extra kafka-librdkafka --extra postgres --extra notebooks pyproject.toml requirements/build.in -o requirements/bench.txt
compile --extra all --extra dev -c requirements/bench.txt pyproject.toml requirements/build.in -o requirements/dev.txt
compile requirements/otava.in -o requirements/otava.txt
