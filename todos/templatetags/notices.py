"""What a notice offers, for templates."""

from django import template
from django.contrib.messages.storage.base import Message

from todos.pages.notices import Offer, offers_of

register = template.Library()


@register.filter
def offers(message: Message) -> list[Offer]:
    """Return the buttons beside a notice."""
    return offers_of(message.extra_tags or "")
