"""What tests put into Tidy's own processes: an app of their own, in the place of no other.

A process gets it by its settings, `tests.seam.settings`, and is told by the environment what to
change (`Tidy.inject` in `tests/processes.py` sets both). The product knows nothing of it.
"""
