"""Ids in addresses: any that documents may have, with slashes wherever they stand."""

from __future__ import annotations

from flask import Flask
from werkzeug.routing import PathConverter


class Ref(PathConverter):
    """An id as the last of an address, or as a part between others: it may begin with a slash, and have several in a row."""

    regex = ".+?"
    part_isolating = False

    def to_url(self, value: str) -> str:
        """The id for a link; slashes that a proxy could take for one are escaped."""
        made = super().to_url(value).replace("//", "/%2F")
        return f"%2F{made[1:]}" if made.startswith("/") else made


def install(app: Flask) -> None:
    """Let an application's rules name ids as `<ref:...>`."""
    app.url_map.converters["ref"] = Ref
    app.url_map.merge_slashes = False
