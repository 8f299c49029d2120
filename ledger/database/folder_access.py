"""Who may pass through a folder: one user more, and nobody else.

By the folder's access control list. The list is written as Linux keeps it (an extended attribute), so that no program has to be installed
for it.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from pathlib import Path

_LIST = "system.posix_acl_access"
_VERSION = struct.pack("<I", 2)
_ENTRY = struct.Struct("<HHI")
# Whom an entry is of, as they are sorted in a list.
_OWNER, _USER, _GROUP_OWNER, _GROUP, _MASK, _OTHERS = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_NOBODY = 0xFFFFFFFF
_PASS = 1

# (whom, what they may, their number)
Entry = tuple[int, int, int]


def let_through(folder: Path, user: int, group: int) -> None:
    """Let a user pass a folder where it could not; neither look into it, nor anybody else pass. Raises OSError where that can't be."""
    if passes(folder, user, group):
        return
    if not hasattr(os, "setxattr"):
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP), str(folder))
    others = [entry for entry in _entries(folder) if entry[0] != _MASK and entry[::2] != (_USER, user)]
    mask = _PASS
    for whom, may, _ in others:
        mask |= may if whom in (_USER, _GROUP_OWNER, _GROUP) else 0
    entries = sorted([*others, (_USER, _PASS, user), (_MASK, mask, _NOBODY)], key=lambda entry: (entry[0], entry[2]))
    os.setxattr(folder, _LIST, _VERSION + b"".join(_ENTRY.pack(*entry) for entry in entries))


def passes(folder: Path, user: int, group: int) -> bool:
    """Whether a user of a group may pass a folder."""
    found = folder.stat()
    if found.st_uid == user:
        return bool(found.st_mode & stat.S_IXUSR)
    entries = _entries(folder)
    mask = next((may for whom, may, _ in entries if whom == _MASK), 0o7)
    for whom, may, number in entries:
        if (whom, number) == (_USER, user):
            return bool(may & mask & _PASS)
    of_groups = [
        may for whom, may, number in entries
        if (whom == _GROUP_OWNER and found.st_gid == group) or (whom, number) == (_GROUP, group)
    ]  # fmt: skip
    if of_groups:
        return any(may & mask & _PASS for may in of_groups)
    return bool(found.st_mode & stat.S_IXOTH)


def _entries(folder: Path) -> list[Entry]:
    """The entries of a folder's list, or of what its mode says where it has none."""
    try:
        kept = os.getxattr(folder, _LIST)
    except (OSError, AttributeError):
        mode = folder.stat().st_mode
        return [
            (_OWNER, mode >> 6 & 0o7, _NOBODY),
            (_GROUP_OWNER, mode >> 3 & 0o7, _NOBODY),
            (_OTHERS, mode & 0o7, _NOBODY),
        ]
    return list(_ENTRY.iter_unpack(kept[len(_VERSION) :]))
