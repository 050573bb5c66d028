#!/bin/sh
# No false alarms: the fast profile again and again, each time with another seed.
# Ends at the first run in which something declared fails, with its matrix and evidence.
set -eu

eslab=${1:-.venv/bin/eslab}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

again() {
    seed=1
    while [ "$seed" -le "$2" ]; do
        if ! "$eslab" conformance --stores "$1" --seed "$seed" --out "$out/runs" > "$out/log"; then
            cat "$out/log"
            echo "$1: seed $seed of $2 failed"
            exit 1
        fi
        rm -rf "$out/runs"
        seed=$((seed + 1))
    done
    echo "$1: $2 runs, everything declared holds"
}

again memory 200
for store in sqlite postgres postgres:coalesced; do
    again "$store" 30
done
