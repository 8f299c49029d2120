"""The house is as ARCHITECTURE.md says: every folder is named, every file that is named is there, and no folder is crowded."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import click
import pytest

from web.cli import main

HOUSE = Path(__file__).parent.parent
ROOMS = ("ledger", "revrec", "adapters", "web")
FILES_MAX = 23
_PATH = re.compile(r"\b(?:ledger|revrec|adapters|web|migrations|benchmarks|tests|docs)/[\w/]+\.\w+")


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


# Modules and functions are of one subject, and read at once. Exceptions say why they stand; they only go.
LINES_MAX, FUNCTION_LINES_MAX = 350, 50
LONG_MODULES = {"ledger/accounts/rulebook.py": "a table: the rules by number"}
LONG_FUNCTIONS: dict[str, str] = {}


def _modules() -> list[tuple[str, str]]:
    return [
        (str(path.relative_to(HOUSE)), path.read_text(encoding="utf-8"))
        for room in ROOMS
        for path in (HOUSE / room).rglob("*.py")
    ]


def test_no_module_is_long() -> None:
    long = {name for name, content in _modules() if len(content.splitlines()) > LINES_MAX}
    assert long == set(LONG_MODULES), "what is named and not long any more is to be taken off the list"


def test_no_function_is_long() -> None:
    long = {
        f"{name}::{node.name}"
        for name, content in _modules()
        for node in ast.walk(ast.parse(content))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES_MAX
    }
    assert long == set(LONG_FUNCTIONS), "what is named and not long any more is to be taken off the list"


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


def test_make_says_in_a_sentence_what_each_target_does() -> None:
    made = (HOUSE / "Makefile").read_text(encoding="utf-8")
    offered = set(re.findall(r"^([a-z]+):", made, re.MULTILINE))
    said = dict(re.findall(r"^([a-z]+):[^#\n]*## ([A-Z].*\.)$", made, re.MULTILINE))
    assert set(said) == offered
    named = re.findall(r"^    make ([a-z]+) ", (HOUSE / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(named) <= offered


_COMMAND = re.compile(r"^    tickmark (.+)$", re.MULTILINE)


def _commands() -> list[tuple[str, str]]:
    found = [
        (page.name, said)
        for page in sorted((HOUSE / "docs" / "for").glob("*.md"))
        for said in _COMMAND.findall(page.read_text(encoding="utf-8"))
    ]
    assert len(found) > 30
    return found


@pytest.mark.parametrize(("page", "said"), _commands())
def test_every_command_that_a_page_names_is_one(
    page: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name, its options and its arguments are taken as they stand."""
    assert page
    monkeypatch.chdir(tmp_path)
    words = shlex.split(said)
    for word in words:  # what files hold is not asked here
        if word.endswith((".jsonl", ".toml", ".json")):
            Path(word).write_text("", encoding="utf-8")
        elif said.startswith("restore "):
            Path(word).mkdir(exist_ok=True)
    command: click.Command = main
    context = click.Context(main)
    while isinstance(command, click.Group):
        found = command.get_command(context, words.pop(0))
        assert found is not None, said
        command = found
    command.make_context(command.name, words, parent=context)
