"""`mitoscan keys`: adds, lists and revokes keys of the data folder. A new key goes to stdout, the rest to stderr."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from service.access.keys_file import KeysFile, KeysFileError
from service.settings import Settings
from service.settings.rules import KeyEntry, key_entry, read_key_entry
from service.telemetry.audit import record_key

_NO_DIGEST = "0" * 64


def change_keys(settings: Settings, action: str, name: str | None, *, group: str | None, role: str) -> None:
    """Do what the command line says, and write it to the audit trail.

    Raises
    ------
    KeysFileError, ValueError
        With the name or role that cannot be.
    """
    _act_as_owner(settings.data)
    file = KeysFile(settings.data)
    if action == "list":
        _show([*_of_settings(settings), *file.entries().values()])
        return
    if name is None:
        raise ValueError(f"say which key: mitoscan keys {action} NAME")
    if action == "revoke":
        gone = file.revoke(name)
        record_key(settings.audit_folder, event="key-revoked", key=gone.name, group=gone.group, role=gone.role.value)
        print(f"revoked {name!r}", file=sys.stderr)
        return
    asked = key_entry(name, group=group or name, role=role, sha256=_NO_DIGEST)
    if name in settings.api_keys:
        raise KeysFileError(f"the setting api_keys has a key {name!r}: choose another name")
    is_first = not (settings.api_keys or file.is_there)
    key = file.add(asked.name, group=asked.group, role=asked.role)
    record_key(settings.audit_folder, event="key-added", key=asked.name, group=asked.group, role=asked.role.value)
    print(f"the key of {name!r}, group {asked.group!r}, role {role}; it is shown this once:", file=sys.stderr)
    print(key)
    if is_first:
        print("a service of this data folder asks for a key from now on, on loopback too", file=sys.stderr)


def _of_settings(settings: Settings) -> list[KeyEntry]:
    return [read_key_entry(name, text) for name, text in settings.api_keys.items()]


def _show(entries: list[KeyEntry]) -> None:
    rows = [("name", "group", "role"), *((entry.name, entry.group, entry.role.value) for entry in entries)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _act_as_owner(data: Path) -> None:
    """Root writes as the owner of the data folder: the service must be able to read the file of keys."""
    if os.geteuid() == 0 and data.is_dir() and (owner := data.stat()).st_uid != 0:
        os.setegid(owner.st_gid)
        os.seteuid(owner.st_uid)
