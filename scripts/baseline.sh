#!/usr/bin/env bash
# Makes results/baseline again: a small real run with its guarantees, page and notebooks, to be committed.
# Four other runs beside it have what it lacks: conflicts, rules across streams, response times and faults; repeats of it
# are its history.
# Every path in it is relative, so that nothing of the machine's own gets into the repository.
set -euo pipefail
cd "$(dirname "$0")/.."

eslab=${ESLAB:-.venv/bin/eslab}
new=results/.baseline
designs=postgres,postgres:template
read -r -a trouble <<<"${TROUBLE:-}"
rules=${RULES:-memory:boundary,umadb,postgres:boundary,postgres+one-stream,postgres+saga,postgres+none}

# run_as NAME ARGUMENT…: the run of `eslab run ARGUMENT…` as the folder $new/NAME
run_as() {
  $eslab run "${@:2}" --out "$new/made"
  mv "$new"/made/2* "$new/$1"
}

# remember RUN: adds it to the history
remember() {
  $eslab history add "$new/$1" --file "$new/history.csv"
}

rm -rf "$new"
for time in 1 2 3; do
  run_as "before-$time" scenarios/quick.yaml --repeat 1 --no-samples "$@"
  remember "before-$time"
done
run_as quick scenarios/quick.yaml --repeat 5 --set verify=conformance \
  --set require.durability=power-loss --set require.occ=native "$@"
remember quick
run_as hot-streams scenarios/hot-streams.yaml --stores "$designs" --repeat 2 --set duration_s=1 "$@"
run_as boundary-contention scenarios/boundary-contention.yaml --repeat 2 --set duration_s=1 "$@" --stores "$rules"
run_as subscribe-latency scenarios/subscribe-latency.yaml --stores "$designs" --repeat 1 \
  --set load.open.rate_per_s=500 --set duration_s=21 "$@"
run_as bad-day scenarios/bad-day.yaml "$@" "${trouble[@]}"

HISTORY="$new/history.csv" OTHERS="$new/bad-day:$new/hot-streams:$new/boundary-contention:$new/subscribe-latency" \
  $eslab report "$new/quick" --notebooks

for run in quick bad-day hot-streams boundary-contention subscribe-latency; do
  rm -rf "$new/$run"/{samples,appends,reads,deliveries}
done
rm -f "$new/bad-day/latency.hlog"
mv "$new"/{bad-day,hot-streams,boundary-contention,subscribe-latency,history.csv} "$new/quick"
rm -rf results/baseline
mv "$new/quick" results/baseline
rm -rf "$new"
