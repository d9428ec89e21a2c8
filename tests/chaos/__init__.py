"""Breaks Tidy on purpose, at random and for as long as one likes, and counts what that did."""
