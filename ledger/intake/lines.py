"""Lines as they come in: in batches, each parsed as a document of its type."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ledger.documents import parse
from ledger.documents.models import Document
from ledger.errors import InvalidDocument, Problem, ProblemList, Refused, shortened
from ledger.intake.kinds import DocumentType
from ledger.usage.reader_process import Lines

# Many enough for what a batch costs to be little a document, few enough to stay in memory, whatever their size.
BATCH = 20_000
_BATCH_BYTES = 16_000_000


@dataclass(slots=True)
class Item:
    """A line as it came in: a document, or what is wrong with it."""

    line: int
    raw: bytes
    problems: list[Problem] = field(default_factory=list)
    type: str = ""
    ref: str = ""
    doc: Document | None = None
    hash: bytes = b""

    @property
    def name(self) -> str:
        """What it is called in a problem: its type and id."""
        return f"{shortened(self.type)} {shortened(self.ref)}".strip()


def in_batches(lines: Iterable[bytes], first_line: int) -> Iterator[Lines]:
    """Lines that are not blank, in batches, with their numbers.

    So many at a time, or as many as make so many bytes.
    """
    numbers: list[int] = []
    batch: list[bytes] = []
    size = 0
    for number, line in enumerate(lines, first_line):
        raw = line.strip()
        if raw:
            numbers.append(number)
            batch.append(raw)
            size += len(raw)
            if len(batch) == BATCH or size > _BATCH_BYTES:
                yield numbers, batch
                numbers, batch, size = [], [], 0
    if batch:
        yield numbers, batch


def parsed(line: int, raw: bytes, types: Mapping[str, DocumentType]) -> Item:
    """A line as a document of its type, or with what is wrong with it."""
    if line == 1:
        raw = raw.removeprefix(b"\xef\xbb\xbf")
    item = Item(line, raw.strip())
    try:
        fields = parse.read_line(item.raw)
        item.type, item.ref = str(fields.get("type", "")), str(fields.get("id", ""))
        kind = types.get(item.type)
        if kind is None:
            shown = shortened(item.type) or "missing"
            raise InvalidDocument("type", shown, f"expected one of {', '.join(types)}")
        item.doc = parse.check(kind.model, fields)
        item.hash = parse.content_hash(fields)
    except ProblemList as several:
        item.problems = [Problem(p.field, p.value, p.expected, item.name, line) for p in several.problems]
    except Refused as refusal:
        if not item.type:
            item.type, item.ref = parse.named_in(item.raw)
        item.problems = [refusal.problem(item.name, line)]
    return item
