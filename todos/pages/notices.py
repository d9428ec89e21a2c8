"""Notices: what was just done, each with its way back. A page shows it until the next action."""

import json
from dataclasses import asdict, dataclass, field

from django.contrib import messages
from django.http import HttpRequest


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A form of one button beside a notice, such as Undo.

    Attributes:
        label: what the button says.
        url: where it posts to.
        fields: what it posts.
        key: whether the shortcut for undo presses it.
    """

    label: str
    url: str
    fields: dict[str, str] = field(default_factory=dict)
    key: bool = True


def report(request: HttpRequest, text: str, *offers: Offer, level: int = messages.SUCCESS) -> None:
    """Show a notice on the next page.

    It travels in a cookie that is signed, so that nobody can make up its text or its buttons.
    """
    messages.add_message(
        request, level, text, extra_tags=json.dumps([asdict(offer) for offer in offers])
    )


def offers_of(extra_tags: str) -> list[Offer]:
    """Return the offers of a notice from what `report` wrote, or of another message: none."""
    try:
        return [Offer(**offer) for offer in json.loads(extra_tags or "[]")]
    except (ValueError, TypeError):
        return []
