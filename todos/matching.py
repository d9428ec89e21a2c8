"""What it means that a todo matches a text, wherever people search."""

from functools import reduce
from operator import and_

from django.db.models import Q

#: The longest text that is looked for: as a title, so that all its words are.
MAX_LENGTH = 200


def matching(text: str) -> Q:
    """Return the condition that a todo has each of the words, in its title or its description."""
    words = dict.fromkeys(text.split())
    conditions = (Q(title__icontains=word) | Q(description__icontains=word) for word in words)
    return reduce(and_, conditions, Q())
