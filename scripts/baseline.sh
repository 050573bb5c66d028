#!/usr/bin/env bash
# Makes results/baseline again: a small real run with its guarantees, page and notebooks, to be committed.
# Every path in it is relative, so that nothing of the machine's own gets into the repository.
set -euo pipefail
cd "$(dirname "$0")/.."

eslab=${ESLAB:-.venv/bin/eslab}
new=results/.baseline
rm -rf "$new"
$eslab run scenarios/quick.yaml --no-samples --repeat 5 --set verify=conformance --out "$new" "$@"
run=$(find "$new" -mindepth 1 -maxdepth 1 -name '2*')
rm -rf "$run/samples" "$run/appends" "$run/deliveries"
$eslab report "$run" --notebooks
rm -rf results/baseline
mv "$run" results/baseline
rmdir "$new"
