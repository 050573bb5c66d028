#!/bin/sh
# install.sh PYTHON ARGUMENT…: installs packages for that Python; the arguments are those that pip and uv share.
# uv takes a fifth of pip's time, but reads nothing of pip's configuration: whoever has an index of their own keeps pip.
set -eu
python=$1
shift
pip() { .venv/bin/python -m pip --disable-pip-version-check "$@"; }
uv=.venv/bin/uv

with_uv() {
    ! pip config list | grep -q 'index' || return 1
    [ -x "$uv" ] || pip install --quiet --no-deps --require-hashes --only-binary :all: -r requirements/uv.txt 2>/dev/null || return 1
    # One try, because pip is the second; compiled, because some environments let no process write what it compiles.
    UV_HTTP_RETRIES=0 "$uv" --no-progress --quiet pip install --python "$python" --compile-bytecode "$@" 2>/dev/null
}

with_uv "$@" || pip --python "$python" install --quiet "$@"
