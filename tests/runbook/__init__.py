"""Tries the runbook: executes the commands of docs/operations.md on a host in a folder."""
