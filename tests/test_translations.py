"""The check of the German catalogue notices what is missing."""

import pytest
from babel.messages.catalog import Catalog

from tests.translations import faults, words_in_code


def catalogue(**messages: str) -> Catalog:
    catalog = Catalog(locale="de")
    for message, translation in messages.items():
        catalog.add(message.replace("_", " "), translation)
    return catalog


def code(*messages: str) -> Catalog:
    catalog = Catalog(locale="de")
    for message in messages:
        catalog.add(message, locations=[("page.html", 0)])
    return catalog


def test_words_of_modules_and_of_templates_are_found() -> None:
    words = words_in_code()
    assert ("in %(days)d day", "in %(days)d days") in words
    assert "A todo list that cleans up after itself" in words


@pytest.mark.parametrize(
    ("known", "fault"),
    [
        ({}, "page.html: not in the catalogue: 'See %(name)s'"),
        ({"See %(name)s": ""}, "page.html: not translated: 'See %(name)s'"),
        ({"See %(name)s": "Siehe"}, "page.html: other placeholders in the translation of "),
        ({"See %(name)s": "Siehe %(name)s", "Gone": "Weg"}, "no longer in the code: 'Gone'"),
    ],
)
def test_a_catalogue_with_a_fault_is_named(known: dict[str, str], fault: str) -> None:
    (line,) = faults(code("See %(name)s"), catalogue(**known))
    assert line.startswith(fault)


def test_a_complete_catalogue_has_no_fault() -> None:
    assert not list(faults(code("Gone"), catalogue(Gone="Weg")))
