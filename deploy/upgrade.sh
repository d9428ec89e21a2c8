#!/bin/sh
# Replaces the running version by the one in this folder: no request is refused, and nothing of the
# site is touched before the new version's image is built and its migrations have run.
#
#     deploy/upgrade.sh         # to what is checked out here
#     deploy/upgrade.sh back    # to the image before, on the schema as it is
#
# Only Tidy's own processes are replaced. A new image of a server, or of the proxy, takes effect with
# `docker compose up --detach --wait`, and costs seconds in which requests are refused.
set -eu
cd "$(dirname "$0")/.."
image=${TIDY_IMAGE:-tidy}

fail() {
    echo "upgrade: $*" >&2
    exit 1
}

old=$(docker compose ps --quiet web)
[ "$old" ] || fail "web does not run here; start it with: docker compose up --detach --build --wait"
count=$(echo "$old" | wc -l)

if [ "${1:-}" = back ]; then
    docker image inspect "$image:previous" >/dev/null 2>&1 || fail "there is no $image:previous."
    docker tag "$image:previous" "$image:latest"
else
    # What runs now, not what was built last: an upgrade may have failed in between.
    docker tag "$(docker inspect --format '{{.Image}}' "$(echo "$old" | head -n 1)")" "$image:previous"
    docker compose build --quiet migrate || fail "the image cannot be built; nothing has changed."
    docker compose run --rm roles || fail "the roles cannot be made; the old version still runs."
    docker compose run --rm --no-deps migrate || fail "the migrations failed; the old version still runs."
fi

# New replicas beside the old ones, which go when the new ones are healthy.
docker compose up --detach --no-deps --no-recreate --wait --scale web=$((2 * count)) web || {
    # shellcheck disable=SC2086  # A list of words.
    docker compose ps --quiet web | grep -vxF "$old" | xargs -r docker rm --force
    fail "the new version does not get healthy; the old one still serves."
}
for container in $old; do
    docker stop "$container" >/dev/null
    docker rm "$container" >/dev/null
done

docker compose up --detach --no-deps --wait worker scheduler
docker compose kill --signal HUP proxy
docker compose ps
