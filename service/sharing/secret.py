"""The secret that signs share links: a setting, or a file of the data folder that is made for the first link.

All API processes of a data folder share it. It is read anew each time, so that who removes the file ends all links at
once. It is in no log and in no answer.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from scanner.files.atomic import part_of
from service.problems import ReportedError
from service.settings import Settings
from service.settings.rules import MIN_SECRET

NAME = "share.secret"


class SharingOffError(ReportedError):
    """No links can be made on this service."""

    problem_type = "sharing-off"


class ShareSecret:
    """The secret of a service."""

    def __init__(self, settings: Settings) -> None:
        self._given = settings.share_secret
        self._path = settings.data / NAME

    def read(self) -> str | None:
        """The secret; None if there is none yet, and so no link."""
        if self._given is not None:
            return self._given
        try:
            text = self._path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            return None
        return text if len(text) >= MIN_SECRET else None

    def read_or_make(self) -> str:
        """The secret, made if there is none yet.

        Raises
        ------
        SharingOffError
            The file cannot be written, or holds something else.
        """
        if (known := self.read()) is not None:
            return known
        try:
            _make(self._path)
        except OSError as error:
            raise SharingOffError(
                f"the secret that signs links cannot be kept in the data folder ({error.strerror}): set share_secret"
            ) from error
        made = self.read()
        if made is None:
            raise SharingOffError(f"{NAME} in the data folder is no secret of {MIN_SECRET} characters: remove it")
        return made


def _make(path: Path) -> None:
    """Write a new secret, unless another process has just done so: the file is there as a whole, or not at all."""
    part = part_of(path)
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(MIN_SECRET))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(part, path)  # Unlike a rename, this replaces no file.
    finally:
        part.unlink(missing_ok=True)
