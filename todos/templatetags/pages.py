"""What the templates of pages ask for."""

from django import template
from django.contrib.messages.storage.base import Message
from django.http import HttpRequest

from todos.pages.given import next_of
from todos.pages.notices import Offer, offers_of

register = template.Library()


@register.filter
def offers(message: Message) -> list[Offer]:
    """Return the buttons beside a notice."""
    return offers_of(message.extra_tags or "")


@register.filter
def page_of(request: HttpRequest) -> str:
    """Return the address of the page that is shown, also in answer to a form that was refused."""
    return request.get_full_path() if request.method == "GET" else next_of(request)
