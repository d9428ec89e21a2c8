# One image for all of Tidy's processes: what a container does is its command. By default it serves
# the site; docker-compose.yml shows the others.

# Pinned by digest, as docker-compose.yml's images are, which says how to raise it.
ARG PYTHON_IMAGE=python:3.13.15-slim-trixie@sha256:9d2e5553305c7c7b0097999bb17187c69b921ccd6bc9d40e4bb5ebe652c00285

FROM ${PYTHON_IMAGE} AS build

# As in the Makefile; a test holds them together.
ARG UV_VERSION=0.13.9
RUN pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore uv==${UV_VERSION}

ENV UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_PROJECT_ENVIRONMENT=/venv \
    UV_PYTHON=/usr/local/bin/python3.13 \
    UV_PYTHON_DOWNLOADS=never

WORKDIR /app

# Packages that only some installations need: "--all-extras" brings tracing as well.
ARG TIDY_EXTRAS="--extra sentry"

# On its own, before the code, so that it is made anew only when the lock changes.
RUN --mount=type=cache,target=/root/.cache/uv \
    --mount=type=bind,source=pyproject.toml,target=pyproject.toml \
    --mount=type=bind,source=uv.lock,target=uv.lock \
    uv sync --frozen --no-dev ${TIDY_EXTRAS}

COPY . .

# These values serve this one line: nothing of them stays in the image.
RUN /venv/bin/python -m compileall -q . \
    && DJANGO_DEBUG=false DJANGO_SECRET_KEY=only-while-building-0123456789-abcdefghijklmnopqrstuvwxyz \
        DJANGO_ALLOWED_HOSTS=build TRUSTED_PROXIES=0 \
        DATABASE_URL=sqlite://:memory: REDIS_URL=redis://build \
        /venv/bin/python manage.py collectstatic --no-input --verbosity 0


FROM ${PYTHON_IMAGE}

RUN groupadd --system --gid 10001 tidy \
    && useradd --system --uid 10001 --gid tidy --no-create-home --home-dir /nonexistent tidy

ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

WORKDIR /app
# Owned by root: the processes can read their code, not change it.
COPY --from=build /venv /venv
COPY --from=build /app /app

# By number, which an orchestrator can tell from root.
USER 10001:10001
EXPOSE 8000

# gunicorn.conf.py has all else.
CMD ["gunicorn", "--bind", "0.0.0.0:8000"]
