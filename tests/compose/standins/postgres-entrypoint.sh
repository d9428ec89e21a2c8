#!/bin/sh
# What the official image's entrypoint does for the variables that docker-compose.yml sets, now and
# in the version before.
set -eu
if [ "$1" = postgres ] && [ "$(id -u)" = 0 ]; then
    chown postgres:postgres /var/lib/postgresql
    exec setpriv --reuid=postgres --regid=postgres --clear-groups -- "$0" "$@"
fi
if [ "$1" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
    if [ -z "${POSTGRES_PASSWORD_FILE:-}" ]; then
        POSTGRES_PASSWORD_FILE=/tmp/password
        (umask 077 && printf %s "$POSTGRES_PASSWORD" >"$POSTGRES_PASSWORD_FILE")
    fi
    initdb --pgdata "$PGDATA" --username "$POSTGRES_USER" --pwfile "$POSTGRES_PASSWORD_FILE" \
        --auth-local trust --auth-host scram-sha-256
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
    pg_ctl --pgdata "$PGDATA" --wait --options "-c listen_addresses=''" start
    createdb --username "$POSTGRES_USER" "$POSTGRES_DB"
    pg_ctl --pgdata "$PGDATA" --wait --mode fast stop
fi
exec "$@"
