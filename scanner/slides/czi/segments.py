"""The segments that a CZI is made of, checked before libCZI reads them: it dies of wrong sizes."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from scanner.errors import DamagedSlideError

#: Name, bytes allocated, bytes used.
_HEADER = struct.Struct("<16sqq")
#: Of a part of the picture: bytes of its metadata, its attachment, its pixels.
_SIZES = struct.Struct("<iiq")
_PART = b"ZISRAWSUBBLOCK"


def check_segments(path: Path) -> None:
    """Walk over all segments of a file.

    Raises
    ------
    DamagedSlideError
        A segment, or what a part of the picture says of its bytes, reaches beyond where it may.
    """
    with path.open("rb", buffering=0) as file:
        end, place = os.fstat(file.fileno()).st_size, 0
        while place < end:
            head = os.pread(file.fileno(), _HEADER.size + _SIZES.size, place)
            if len(head) < _HEADER.size + _SIZES.size or not head.startswith(b"ZISRAW"):
                raise DamagedSlideError(f"{path}: damaged CZI: no segment begins at byte {place}; copy it again")
            name, allocated, _used = _HEADER.unpack_from(head)
            after = place + _HEADER.size + allocated
            sizes = _SIZES.unpack_from(head, _HEADER.size) if name.rstrip(b"\0") == _PART else (0,)
            if allocated < 0 or after > end or min(sizes) < 0 or sum(sizes) > allocated:
                raise DamagedSlideError(
                    f"{path}: damaged CZI: the segment at byte {place} is larger than its place; copy it again"
                )
            place = after
