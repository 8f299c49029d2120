"""Why something was refused: one class per kind of refusal.

Each names what was found and what was expected. A refusal proves that nothing of the refused document was posted.
"""

from __future__ import annotations

from dataclasses import dataclass

from ledger.letters import shown

VALUE_LENGTH_MAX = 200  # as long as an id may be


def shortened(value: str, most: int = 80) -> str:
    """A value as a message names it.

    No longer than can be read, and what can't be seen of it by its code, such as U+200B.
    """
    return shown(value if len(value) <= most else value[: most - 3] + "...")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with one document: where it stands, what was found and what was expected."""

    field: str
    value: str
    expected: str
    document: str = ""
    line: int | None = None

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line is not None else ""
        who = f"{self.document}: " if self.document else ""
        what = f"{self.field} = {self.value}: " if self.field else ""
        return f"{where}{who}{what}{self.expected}"


class Refused(Exception):
    """Nothing of the document was posted. Carries the field, the value found and what was expected."""

    def __init__(self, field: str, value: object, expected: str) -> None:
        self.field = field
        self.value = shortened(value if isinstance(value, str) else str(value), VALUE_LENGTH_MAX)
        self.expected = expected
        super().__init__(f"{field} = {self.value}: {expected}" if field else expected)

    def within(self, path: str) -> Refused:
        """The same refusal with its field placed inside a part of the document, such as `lines.0`."""
        self.field = f"{path}.{self.field}" if self.field else path
        self.args = (f"{self.field} = {self.value}: {self.expected}",)
        return self

    def renamed(self, field: str) -> Refused:
        """The same refusal of another field, which names the same thing."""
        self.field = field
        self.args = (f"{self.field} = {self.value}: {self.expected}",)
        return self

    def problem(self, document: str = "", line: int | None = None) -> Problem:
        """The refusal as a row of a report, placed in its document and line."""
        return Problem(self.field, self.value, self.expected, document, line)


class Busy(Refused):
    """Somebody else works on the books just now.

    What was asked would be done but for that: asked again later, it is.
    """


class ProblemList(Refused):
    """A document with several things wrong, each named."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        first = problems[0]
        super().__init__(first.field, first.value, first.expected)


class InvalidDocument(Refused):
    """The document is not of the form documents.md gives.

    Bad JSON, unknown field, wrong type or precision.
    """


class UnknownReference(Refused):
    """The document names something (a customer, an invoice, a grant) that the books do not hold."""


class ConflictingDocument(Refused):
    """The same type and id was posted before with other content.

    Or another document of the type has an external id of it.
    """


class WrongCurrency(Refused):
    """Two things that must share a currency do not."""


class WrongParty(Refused):
    """The document's customer or entity is not that of the thing it names."""


class OverApplication(Refused):
    """More was applied than a payment, a balance or an invoice holds."""


class Overdrawn(Refused):
    """Usage exceeds the customer's credits where the customer's terms allow no overage."""


class ClosedPeriod(Refused):
    """The month is closed: nothing posts into it."""


class Unbalanced(Refused):
    """Figures that must agree do not: an entry, a total, a share."""
