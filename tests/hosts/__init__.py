"""Puts each part of Tidy on a host of its own, and breaks what is between them."""
