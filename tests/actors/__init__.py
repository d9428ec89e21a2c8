"""Actors that tests give to workers of their own: one module for each group of tests."""
