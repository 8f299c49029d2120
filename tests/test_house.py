"""The house is as ARCHITECTURE.md says: every folder is named, every file that is named is there, and no folder is crowded."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

HOUSE = Path(__file__).parent.parent
ROOMS = ("ledger", "revrec", "adapters", "web")
FILES_MAX = 23
_PATH = re.compile(r"\b(?:ledger|revrec|adapters|web|migrations|benchmarks|tests)/[\w/]+\.\w+")


def _folders() -> list[Path]:
    return [
        folder
        for room in ROOMS
        for folder in (HOUSE / room, *(path.parent for path in (HOUSE / room).rglob("__init__.py")))
    ]


def _texts() -> list[Path]:
    return [
        *HOUSE.glob("*.md"),
        *(HOUSE / "docs").rglob("*.md"),
        *(path for room in (*ROOMS, "benchmarks", "tests") for path in (HOUSE / room).rglob("*.py")),
    ]


def test_no_folder_is_crowded() -> None:
    for folder in _folders():
        assert len(list(folder.glob("*.py"))) <= FILES_MAX, folder


@pytest.mark.parametrize("room", ROOMS)
def test_every_folder_stands_in_the_drawing(room: str) -> None:
    drawn = (HOUSE / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for folder in {path.parent for path in (HOUSE / room).glob("*/__init__.py")}:
        assert f"`{folder.name}/`" in drawn, folder
    for path in (HOUSE / room).glob("*.py"):
        assert path.name == "__init__.py" or f"`{path.name}`" in drawn, path


def test_every_file_that_is_named_is_there() -> None:
    missing = {
        f"{text.relative_to(HOUSE)}: {named}"
        for text in _texts()
        for named in _PATH.findall(text.read_text(encoding="utf-8"))
        if not (HOUSE / named).exists()
    }
    assert not missing, "\n".join(sorted(missing))
