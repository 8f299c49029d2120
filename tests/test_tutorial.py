"""The tutorial says what happens: its commands are run in its order, and answer what stands there; its sums hold.

And the glossary has a word for each kind of document and each report.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest

from revrec.kinds import TYPES
from tests.conftest import Cli
from tests.pages import AMOUNT, FENCED, SUM, number, prose, worked_out
from web.commands.showing import REPORT_NAMES

DOCS = Path(__file__).parents[1] / "docs"
TUTORIAL = (DOCS / "tutorial.md").read_text(encoding="utf-8")
GLOSSARY = (DOCS / "glossary.md").read_text(encoding="utf-8")

_RUN = re.compile(r"^```sh\n(.*?)^```\n(?:\n^```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
# What is another thing whenever it is run: a time of day, and the hash of a seal over it.
_VARIES = (
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"), "<moment>"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "<hash>"),
)


@dataclass(frozen=True)
class Block:
    """Commands, and what the page says that they answer; `...` stands for lines that it leaves out."""

    commands: str
    answer: str

    def fits(self, told: str) -> bool:
        lines = [r"(?:.*\n)*?" if line == "..." else re.escape(line) + r"\n" for line in _settled(self.answer)]
        return re.fullmatch("".join(lines), "".join(f"{line}\n" for line in _settled(told))) is not None


def _settled(told: str) -> list[str]:
    for varies, name in _VARIES:
        told = varies.sub(name, told)
    return [line.rstrip() for line in told.rstrip().splitlines()]


def _blocks(page: str) -> list[Block]:
    return [Block(*found) for found in _RUN.findall(page)]


def _commands(block: str) -> Iterator[tuple[list[str], str]]:
    """The commands of a block as a shell reads them, each with what it is given to read up to END."""
    lines = iter(block.splitlines())
    for line in lines:
        command, here, _ = line.partition(" <<'END'")
        yield (
            shlex.split(command, comments=True),
            "".join(f"{read}\n" for read in iter(lines.__next__, "END")) if here else "",
        )


def _answer(cli: Cli, block: Block, monkeypatch: pytest.MonkeyPatch) -> str:
    told = ""
    for (program, *arguments), stdin in _commands(block.commands):
        if program == "export":
            for given in arguments:
                monkeypatch.setenv(*given.split("=", 1))
            continue
        assert program == "tickmark", f"expected tickmark or export: {program}"
        result = cli.run(*arguments, stdin=stdin)
        undone = "refused" in result.output or result.output.startswith("TODO")
        assert result.exit_code == int(undone), result.output
        told += result.output
    return told


def _unexplained(page: str) -> list[str]:
    """Amounts of the text that no block of their section has and no sum until there comes to; and sums that are wrong."""
    introduction, *sections = page.split("\n## ")
    known = {number(told) for _, block in FENCED.findall(page) for told in AMOUNT.findall(block)}
    found = [told for told in AMOUNT.findall(prose(introduction)) if number(told) not in known]
    sums: dict[str, Decimal] = {}
    for section in sections:
        said = prose(section)
        for told in SUM.finditer(said):
            sums[told[0]] = number(told[2])
            if worked_out(told[1]) != number(told[2]):
                found.append(told[0])
        known = {number(told) for _, block in FENCED.findall(section) for told in AMOUNT.findall(block)}
        known.update(sums.values())
        found += [told for told in AMOUNT.findall(SUM.sub("", said)) if number(told) not in known]
    assert len(sums) > 20, "the tutorial works its figures out"
    return found


def _other_figures(page: str) -> Iterator[str]:
    """The page with one digit of an answer changed, each in turn but for what varies."""
    for block in _RUN.finditer(page):
        if not block[2]:
            continue
        kept = [span for varies, _ in _VARIES for span in (found.span() for found in varies.finditer(block[2]))]
        for digit in re.finditer(r"\d", block[2]):
            if any(first <= digit.start() < last for first, last in kept):
                continue
            at = block.start(2) + digit.start()
            yield page[:at] + str((int(digit[0]) + 1) % 10) + page[at + 1 :]


def test_the_tutorial_answers_what_it_says(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = _blocks(TUTORIAL)
    assert len(blocks) == TUTORIAL.count("```sh\n")
    assert sum(bool(block.answer) for block in blocks) == TUTORIAL.count("```text\n")
    told = []
    for block in blocks:
        told.append(_answer(cli, block, monkeypatch))
        assert block.fits(told[-1]), f"{block.commands}\nexpected:\n{block.answer}\nanswered:\n{told[-1]}"
    # Whichever figure of an answer were another one, that would be seen.
    for other in _other_figures(TUTORIAL):
        assert not all(block.fits(answer) for block, answer in zip(_blocks(other), told, strict=True)), other
    assert {"january.xlsx", "january.csv"} <= {path.name for path in tmp_path.iterdir()}


def test_every_figure_of_the_tutorial_is_explained() -> None:
    assert not _unexplained(TUTORIAL)


@pytest.mark.parametrize(
    ("figure", "other"),
    [("160.00 + 140.00 + 95.00", "160.00 + 140.00 + 96.00"), ("/ 365 = 101.92", "/ 365 = 101.93"),
     ("Customer credits (prepaid) | 500.00", "Customer credits (prepaid) | 510.00"), ("800.00 on 15 January", "801.00 on 15 January")],
)  # fmt: skip
def test_a_figure_that_is_wrong_is_seen(figure: str, other: str) -> None:
    assert figure in TUTORIAL
    assert _unexplained(TUTORIAL.replace(figure, other))


def _rows(section: str) -> list[str]:
    """The words that a section of the glossary explains, in its order."""
    text = GLOSSARY.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return re.findall(r"^- \*\*(.+?)\.\*\*", text, re.MULTILINE) or re.findall(r"^\| \[?`([\w-]+)`", text, re.MULTILINE)


def test_the_glossary_has_every_document_and_every_report() -> None:
    assert _rows("Documents") == sorted(TYPES)
    assert _rows("Reports") == sorted(REPORT_NAMES)


def test_the_glossary_is_in_order() -> None:
    terms = [term.casefold() for term in _rows("Words")]
    assert terms == sorted(set(terms))
    assert len(terms) >= 60
