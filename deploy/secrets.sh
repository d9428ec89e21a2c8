#!/bin/sh
# Makes the secrets of docker-compose.yml that are missing: random ones, and empty files for those
# that are optional. It changes none that is there.
#
#     deploy/secrets.sh [FOLDER]
#
# The files can be read by everyone, because each container has a user of its own; the folder, by its
# owner alone. To have another one made, delete the file.
set -eu
folder=${1:-$(dirname "$0")/../secrets}

mkdir -p "$folder"
chmod 700 "$folder"
cd "$folder"
for name in django_secret_key postgres_password database_password redis_password; do
    # 64 of 62 characters, none of which needs to be escaped anywhere.
    [ -s "$name" ] || LC_ALL=C tr -dc 'A-Za-z0-9' </dev/urandom | head -c 64 >"$name"
done
for name in email_url alert_webhook_url alert_webhook_secret alert_check_in_url metrics_token \
    sentry_dsn otel_exporter_otlp_headers; do
    [ -e "$name" ] || : >"$name"
done
chmod 644 ./*
