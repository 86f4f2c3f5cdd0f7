"""A library's exceptions, said in our own words: none of tifffile, PIL or OpenSlide leaves this package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from scanner.errors import ScannerError, SlideError


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
    except Exception as error:
        reason = str(error).strip() or type(error).__name__
        raise error_type(f"{what}: {reason}") from error
