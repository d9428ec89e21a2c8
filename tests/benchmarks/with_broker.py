"""The settings of a worker with the broker that BENCHMARK_BROKER names."""

import os

from tests.seam.settings import *  # noqa: F403
from tests.seam.settings import DRAMATIQ_BROKER as TIDYS_OWN

DRAMATIQ_BROKER = {**TIDYS_OWN, "BROKER": os.environ["BENCHMARK_BROKER"]}
