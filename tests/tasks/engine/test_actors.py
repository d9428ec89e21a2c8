"""What operators read of a task: the first line of its actor."""

import re
from html import unescape
from inspect import getdoc

import pytest
from django.test import Client
from django.urls import reverse
from dramatiq.broker import get_broker


@pytest.mark.usefixtures("broker")
def test_console_says_of_every_task_what_it_does_in_no_words_of_the_code(
    admin_client: Client,
) -> None:
    page = unescape(admin_client.get(reverse("background:tasks")).content.decode())
    actors = get_broker().actors.values()
    assert len(actors) > 5
    for actor in actors:
        first = (getdoc(actor.fn) or "").partition("\n")[0]
        assert first.endswith(".")
        assert not re.search(r"`|_", first)
        assert first in page
