"""Tokens: secrets that a person gives to a script or a calendar, each of which can be revoked."""
