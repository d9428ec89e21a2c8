"""How much to send; as `python -m tests.fuzz` says, or little."""

import os

from tests.examples import examples

#: What `make test` sends to each database.
FEW = 600

REQUESTS = int(os.environ.get("TIDY_FUZZ_REQUESTS") or examples(FEW))
SEED = int(os.environ.get("TIDY_FUZZ_SEED") or 1)
CHUNK = os.environ.get("TIDY_FUZZ_CHUNK") or None

#: As many requests are made by one visitor; then the next one's turn begins.
CHUNK_REQUESTS = 250 if REQUESTS > FEW else 75
