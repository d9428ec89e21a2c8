"""Options of commands, which are checked before anything is touched."""

from django.core.management.base import CommandError


def check_bounds(option: str, value: int | None, lowest: int, highest: int) -> None:
    """Refuse a number out of bounds; None is accepted.

    Raises:
        CommandError: naming the option.
    """
    if value is not None and not lowest <= value <= highest:
        raise CommandError(f"--{option} must be from {lowest} to {highest:,}, not {value}.")
