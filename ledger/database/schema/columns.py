"""The kinds of columns that tables have, and what all tables are declared in."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Date, DateTime, ForeignKey, MetaData, Text, text

metadata = MetaData()


def number_column(name: str, *, key: bool = False) -> Column[int]:
    """A column of a number that the books hand out, or of minor units."""
    return Column(name, BigInteger, primary_key=key, nullable=False, autoincrement=False)


def text_column(name: str, *, key: bool = False, null: bool = False, default: str | None = None) -> Column[str]:
    """A column of text."""
    server_default = None if default is None else text(f"'{default}'")
    return Column(name, Text, primary_key=key, nullable=null, server_default=server_default)


def reference_column(name: str, target: str, *, key: bool = False, null: bool = False) -> Column[str]:
    """A column of text that names a row of another table."""
    return Column(name, Text, ForeignKey(target), primary_key=key, nullable=null)


def day_column(name: str, *, key: bool = False, null: bool = False) -> Column[object]:
    """A column of days."""
    return Column(name, Date, primary_key=key, nullable=null)


def moment_column(name: str, *, default: bool = False) -> Column[object]:
    """A column of moments."""
    return Column(name, DateTime(timezone=True), nullable=False, server_default=text("now()") if default else None)
