"""Hostile requests by the hundred thousand: see `__main__`."""
