"""Exceptions of tifffile, PIL, OpenSlide and others become ours, with our words: none of theirs leaves this package.

Their log messages are dropped: Python prints them to stderr if no handler is set, and a damaged TIFF has hundreds.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scanner.errors import (
    DamagedSlideError,
    ScannerError,
    SlideError,
    SlideMemoryError,
    SlideNotFoundError,
    UnreadableRegionError,
)
from scanner.slides.files.library_words import in_our_words

#: What the system says of a file whose share or disk has gone, also when a file of that name is there again.
GONE = {
    getattr(errno, name)
    for name in ("ESTALE", "ENOTCONN", "EREMOTEIO", "ETIMEDOUT", "EHOSTDOWN", "ENODEV", "ENXIO")
    if hasattr(errno, name)
}

#: What to do about a file that is broken as a whole.
COPY_AGAIN = "; copy it again from where it came, and compare the sizes"

for _library in ("tifffile", "PIL"):
    logging.getLogger(_library).addHandler(logging.NullHandler())


@contextmanager
def foreign_errors_become(error_type: type[SlideError], what: str) -> Iterator[None]:
    """Turn whatever a decoder raises into `error_type`, its message starting with `what`.

    Decoders meet hostile bytes with exceptions of every kind (struct.error, SyntaxError, MemoryError, ...), so
    there is no shorter list than all of them. Our own errors pass.
    """
    try:
        yield
    except ScannerError:
        raise
    except MemoryError as error:
        # A tile that asks for too much is damaged; a slide that does may only be too large for this machine.
        raise (SlideMemoryError if error_type is DamagedSlideError else error_type)(
            f"{what}: not enough memory ({in_our_words(error)})"
        ) from error
    except Exception as error:
        way_out = COPY_AGAIN if error_type is DamagedSlideError else ""
        raise error_type(f"{what}: {in_our_words(error)}{way_out}") from error


@contextmanager
def reading_region(path: Path, what: str) -> Iterator[None]:
    """Turn whatever a decoder raises into UnreadableRegionError; but SlideNotFoundError, if the whole slide has gone.

    Damage costs its own pixels and stays. A share that has vanished comes back: the scan must fail and be repeated, and
    not take the rest of the slide for damage.
    """
    try:
        with foreign_errors_become(UnreadableRegionError, what):
            yield
    except SlideError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in GONE:
            raise _gone(path, error.__cause__) from error
        check_still_there(path)
        raise


def check_still_there(path: Path) -> None:
    """Raise SlideNotFoundError if a slide that was opened, file or folder, cannot be reached any more."""
    try:
        if path.is_dir():
            with os.scandir(path) as entries:
                next(entries, None)
        else:
            with path.open("rb", buffering=0) as file:
                file.read(1)
    except OSError as error:
        raise _gone(path, error) from error


def _gone(path: Path, error: OSError) -> SlideNotFoundError:
    return SlideNotFoundError(
        f"{path}: {error.strerror}, while it was being read; scan it again when it is back; the scan then resumes"
    )
