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
# A new version may have new ones.
deploy/secrets.sh

old=$(docker compose ps --quiet web)
if [ -z "$old" ]; then
    echo "upgrade: web does not run. Start it: docker compose up --detach --build --wait" >&2
    exit 1
fi
count=$(echo "$old" | wc -l)
workers=$(docker compose ps --quiet worker | wc -l)
schedulers=$(docker compose ps --quiet scheduler | wc -l)
first=$(echo "$old" | head -n 1)
image=$(docker inspect --format '{{.Config.Image}}' "$first")
running=$(docker inspect --format '{{.Image}}' "$first")

# Whatever starts a container after this takes the version that runs.
fail() {
    docker tag "$running" "$image:latest"
    echo "upgrade: $*" >&2
    exit 1
}

if [ "${1:-}" = back ]; then
    docker tag "$image:previous" "$image:latest" || fail "there is no $image:previous to go back to."
else
    docker compose build --quiet migrate || fail "the image cannot be built; nothing has changed."
    # Not with what they depend on: a changed image or line of postgres would restart it here.
    docker compose run --rm --no-deps roles || fail "the roles cannot be made; the old version still runs."
    docker compose run --rm --no-deps migrate || fail "the migrations failed; the old version still runs."
    # What they leave of the old version, which ended long ago.
    docker compose rm --force roles migrate >/dev/null 2>&1
fi

# Leaves what is there as it is. (With --no-deps instead, the next `docker compose up` would replace
# all that this made.)
add() {
    docker compose up --detach --no-recreate --wait "$@"
}

# New replicas beside the old ones, which go when the new ones are healthy.
add --scale web=$((2 * count)) web || {
    docker compose ps --all --quiet web | grep -vxF "$old" | xargs -r docker rm --force >/dev/null
    fail "the new version does not get healthy; the old one still serves."
}
for container in $old; do
    docker stop "$container" >/dev/null
    docker rm "$container" >/dev/null
done
# Not if the same version was started anew: it would be the only one to go back to.
if [ "$running" != "$(docker image inspect --format '{{.Id}}' "$image:latest")" ]; then
    docker tag "$running" "$image:previous"
fi

# One after the other: the shorter there is no scheduler, the fewer slots are claimed late.
docker compose rm --stop --force worker
add --scale worker="$workers" worker
docker compose rm --stop --force scheduler
add --scale scheduler="$schedulers" scheduler
docker compose ps
