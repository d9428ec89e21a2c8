"""A site that is told to stop says for a while that it is not ready, and serves on meanwhile.

gunicorn's master is told (gunicorn.conf.py), its workers are asked (`/readyz`).
"""

import mmap

# Shared by the master with the workers that it forks.
_flag = mmap.mmap(-1, 1)


def begin() -> None:
    _flag[0] = 1


def is_draining() -> bool:
    return _flag[0] == 1
