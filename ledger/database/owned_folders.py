"""Folders for sockets and locks that their owner alone enters."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from pathlib import Path

POSIX = sys.platform != "win32"

# A socket's whole path must fit 107 bytes, of which its name has 13.
SOCKET_FOLDER_BYTES_MAX = 90


def owned_folder(name: str, account: tuple[int, int] | None) -> Path:
    """A short folder for sockets, or locks, in the temporary one."""
    folder = Path(tempfile.gettempdir()) / name
    if any(letter.isspace() for letter in str(folder)) or len(str(folder)) > SOCKET_FOLDER_BYTES_MAX - 12:
        folder = Path("/tmp") / name  # noqa: S108 - owned and checked below
    make_owned(folder, account)
    return folder


def make_owned(folder: Path, account: tuple[int, int] | None) -> None:
    """Make a folder that its owner alone enters. Raises PermissionError where another made it, or it is none."""
    try:
        folder.mkdir(mode=0o700)
        if account:
            os.chown(folder, *account)
    except FileExistsError:
        pass
    if not POSIX:
        return
    found = folder.lstat()
    owner = account[0] if account else os.geteuid()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner:
        raise PermissionError(f"{folder} belongs to another user; set TMPDIR to a folder of your own")
    if stat.S_IMODE(found.st_mode) & 0o077:
        folder.chmod(0o700)
