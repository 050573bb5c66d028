#!/bin/bash
# Makes the cluster once, then becomes the server. It reads what the official image reads:
# POSTGRES_PASSWORD, POSTGRES_INITDB_ARGS, and a command whose flags are settings.
set -euo pipefail

if [[ ! -s $PGDATA/PG_VERSION ]]; then
    read -ra options <<<"${POSTGRES_INITDB_ARGS:-}"
    initdb --username=postgres --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") \
        --auth-local=trust --auth-host=scram-sha-256 "${options[@]}"
    printf 'host all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
fi
exec "$@" -c 'listen_addresses=*' -c unix_socket_directories=/tmp
