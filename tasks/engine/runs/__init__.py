"""Runs: creating them, publishing their messages, and what an actor sees of its own run."""
