"""Reads a form as a browser does: what it would post if nobody changed anything."""

from html.parser import HTMLParser

type Attributes = list[tuple[str, str | None]]


class _Forms(HTMLParser):
    """Collects the fields of each form of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[dict[str, str]] = []
        self._select = ""

    def handle_starttag(self, tag: str, attrs: Attributes) -> None:
        given = dict(attrs)
        name, value = given.get("name") or "", given.get("value") or ""
        if tag == "form":
            self.forms.append({})
        elif tag == "select":
            self._select = name
        elif tag == "option":
            # The first option of a list is chosen unless another one is.
            if "selected" in given or self._select not in self.forms[-1]:
                self.forms[-1][self._select] = value
        elif tag == "input" and name:
            box = given.get("type") in {"checkbox", "radio"}
            if not box or "checked" in given:
                self.forms[-1][name] = value or ("on" if box else "")


def form_with(field: str, page: bytes) -> dict[str, str]:
    """Return what the first form of a page that has this field would post, without the token."""
    reader = _Forms()
    reader.feed(page.decode())
    found = next(form for form in reader.forms if field in form)
    return {name: value for name, value in found.items() if name != "csrfmiddlewaretoken"}
