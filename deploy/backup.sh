#!/bin/sh
# Dumps the database of the stack in this folder, and deletes dumps of more than two weeks ago.
#
#     deploy/backup.sh [FOLDER]    # backups/ beside docker-compose.yml by default
#
# It prints the dump's name, which says when it was begun. Let cron start it each night, before the
# cleanup.
set -eu
cd "$(dirname "$0")/.."
folder=${1:-backups}

umask 077
mkdir -p "$folder"
dump=$folder/tidy-$(date -u +%Y%m%dT%H%M%SZ).dump
# Under another name until it is complete.
unfinished=$(mktemp "$folder/unfinished.XXXXXX")
trap 'rm -f "$unfinished"' EXIT
docker compose exec -T postgres pg_dump --username tidy --format custom tidy >"$unfinished" </dev/null
mv "$unfinished" "$dump"
# Only after a dump that has succeeded.
find "$folder" -name 'tidy-*.dump' -mtime +14 -delete
echo "$dump"
