#!/bin/sh
# python.sh [PYTHON]: names the Python to make .venv with: the one given, else the fastest `python3` on PATH.
# One that was built without --enable-optimizations, as pyenv does, takes up to half as much CPU again, and that would
# be measured as the cost of a store's client.
set -eu

# Prints how many milliseconds of CPU a loop takes; fails for a Python that cannot make .venv.
loop() {
    "$1" - 2>/dev/null <<'PYTHON'
import ensurepip, sys, time, venv

def loop():
    began = time.process_time()
    table = {}
    for number in range(100_000):
        table[number & 1023] = (number, str(number))
    return time.process_time() - began

if sys.version_info < (3, 11):
    sys.exit(1)
print(round(1e3 * min(loop() for _ in range(9))))
PYTHON
}

if [ $# -gt 0 ]; then
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        { echo "eslab needs Python 3.11 or newer; try make PYTHON=python3.12" >&2; exit 1; }
    echo "$1"
    exit
fi

first='' fastest='' seen=:
IFS=:
for folder in $PATH; do
    python=$folder/python3
    [ -x "$python" ] && file=$(readlink -f "$python") || continue
    case $seen in *":$file:"*) continue ;; esac
    seen=$seen$file:
    took=$(loop "$python") || continue
    [ -n "$first" ] || { first=$python first_took=$took fastest=$python fastest_took=$took; }
    # Less than a fifth may be a busy machine's doing.
    if [ $((took * 6)) -lt $((fastest_took * 5)) ]; then fastest=$python fastest_took=$took; fi
done
[ -n "$fastest" ] || { echo "eslab needs Python 3.11 or newer, with venv (Debian: python3-venv); try make PYTHON=python3.12" >&2; exit 1; }
if [ "$fastest" != "$first" ]; then
    echo "$fastest makes .venv: $first takes $((first_took * 100 / fastest_took)) % of its CPU time (PYTHON=python3 takes that one)" >&2
fi
echo "$fastest"
