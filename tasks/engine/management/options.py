"""What commands share: options that are checked before anything is touched, and output."""

import json
from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandError


def check_bounds(option: str, value: int | None, lowest: int, highest: int) -> None:
    """Refuse a number out of bounds.

    Raises:
        CommandError: naming the option.
    """
    if value is not None and not lowest <= value <= highest:
        raise CommandError(f"--{option} must be from {lowest} to {highest:,}, not {value}.")


def count(number: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun: `1 person`, `2,000 people`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def as_json_line(report: Mapping[str, Any], *, dry_run: bool) -> str:
    """Return a report for machines; that of a dry run says so."""
    return json.dumps({**report, "dry_run": True} if dry_run else report)
