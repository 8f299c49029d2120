"""Letters that can't be seen, ids that look alike, and names that look like others."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

# Letters that are drawn as nothing though they count as printable (Unicode's Default_Ignorable_Code_Point).
_DRAWN_AS_NOTHING = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
# Parts of an address that a browser takes for "here" and "one up".
_STEPS = re.compile(r"(?:^|/)\.{1,2}(?:/|$)")
_HALVES = re.compile("[\ud800-\udfff]")
_CODES_SHOWN = 4


def is_seen(letter: str) -> bool:
    """Whether a letter can be seen, and told from a space.

    No control, format, private or separating character.
    """
    return letter.isprintable() and not _DRAWN_AS_NOTHING.match(letter)


def can_be_kept(said: object) -> bool:
    """Whether the database can keep all texts in what was said, as JSON or TOML.

    None has a NUL, or half of a character.
    """
    if isinstance(said, str):
        return "\0" not in said and not _HALVES.search(said)
    if isinstance(said, dict):
        said = list(said.items())
    return not isinstance(said, list | tuple) or all(map(can_be_kept, said))


def as_kept(value: str) -> str:
    """Text as the database can keep it: what it can't by its code."""
    return _HALVES.sub(lambda found: _code(found[0]), value.replace("\0", _code("\0")))


def shown(value: str) -> str:
    """Text as a message has it: letters that can't be seen by their codes, such as U+200B."""
    if value.isprintable() and not _DRAWN_AS_NOTHING.search(value):
        return value
    return "".join(letter if is_seen(letter) else _code(letter) for letter in value)


def _code(letter: str) -> str:
    return f"U+{ord(letter):04X}"


def unseen(value: str) -> str:
    """The letters of a text that can't be seen, by code and name; empty where there are none."""
    found = dict.fromkeys(letter for letter in value if not is_seen(letter))
    return ", ".join(
        f"{_code(letter)} {unicodedata.name(letter, '')}".rstrip() for letter in list(found)[:_CODES_SHOWN]
    )


def expected_of_id(value: str) -> str | None:
    """What an id is expected to be in place of this one; None where it will do.

    One that others can be told from by eye: of letters that can be seen, composed (Unicode's form NFC), and with a page of its own.
    """
    if "." in value and _STEPS.search(value):
        return "expected an id that can stand in an address: without a part . or .. between slashes"
    if value.isascii():
        return None
    if hidden := unseen(value):
        return f"expected an id of letters that can be seen, and spaces of U+0020 alone: not {hidden}"
    composed = unicodedata.normalize("NFC", value)
    if composed != value:
        return f"expected an id of composed letters (Unicode NFC): {_difference(value, composed)}"
    return None


def _difference(value: str, composed: str) -> str:
    """How a text has to change to be composed, by the codes of its letters."""
    most = min(len(value), len(composed))
    start = next((n for n in range(most) if value[n] != composed[n]), most)
    end = next((n for n in range(most - start) if value[-1 - n] != composed[-1 - n]), most - start)
    found, wanted = value[start : len(value) - end], composed[start : len(composed) - end]
    return f"{_codes(wanted)} in place of {_codes(found)}"


def _codes(letters: str) -> str:
    more = " ..." if len(letters) > _CODES_SHOWN else ""
    return " ".join(_code(letter) for letter in letters[:_CODES_SHOWN]) + more


def look_alike(name: str, other: str) -> bool:
    """Whether two names can be taken for one another, whatever their case.

    By what their letters are drawn as.
    """
    names, others = ({_skeleton(one).casefold(), _skeleton(one.casefold())} for one in (name, other))
    return bool(names & others)


def _skeleton(name: str) -> str:
    """A name by what its letters are drawn as (Unicode Technical Standard 39)."""
    seen = "".join(letter for letter in unicodedata.normalize("NFKD", name) if is_seen(letter))
    return unicodedata.normalize("NFD", "".join(map(_looks, seen)))


@lru_cache(10_000)
def _looks(letter: str) -> str:
    """What a letter is drawn as, of all that are drawn alike the same."""
    from confusable_homoglyphs.confusables import confusables_data  # noqa: PLC0415 - a megabyte, where somebody approves

    def like(one: str) -> list[str]:
        return [entry["c"].strip("\u200e") for entry in confusables_data.get(one, ())]

    several = [one for one in like(letter) if len(one) > 1]
    if several:  # m is drawn as rn
        return "".join(map(_looks, several[0]))
    group, left = {letter}, [letter]
    while left:
        new = {one for one in like(left.pop()) if len(one) == 1} - group
        group |= new
        left += new
    return min(group)
