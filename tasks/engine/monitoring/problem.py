"""A line of the verdict."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """A line of the verdict.

    Attributes:
        kind: what is wrong, and with what; the same for as long as that does not change, although
            the line names other runs and moments.
        text: the line, without what it quotes.
        quoted: what it quotes of an error at its end; it may hold people's own text.
    """

    kind: str
    text: str
    quoted: str = ""

    def __str__(self) -> str:
        return f"{self.text}: {self.quoted}" if self.quoted else self.text
