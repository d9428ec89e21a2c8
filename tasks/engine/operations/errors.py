"""Why an operator's request is not carried out."""

from tasks.engine.extension import Confirmation


class Refused(Exception):  # noqa: N818  (it names the outcome, as Django's own do)
    """A request was not carried out; the text says why.

    Attributes:
        detail: more about it, which may quote an argument, a person's own text.
        run_id: the run that is in the way, if one is.
    """

    def __init__(self, text: str, *, detail: str = "", run_id: int | None = None) -> None:
        super().__init__(f"{text}: {detail}" if detail else text)
        self.text = text
        self.detail = detail
        self.run_id = run_id


class Unconfirmed(Refused):
    """A run was asked for that must be confirmed first."""

    def __init__(self, confirmation: Confirmation) -> None:
        super().__init__("This must be confirmed first", detail=" ".join(confirmation.lines))
        self.confirmation = confirmation
