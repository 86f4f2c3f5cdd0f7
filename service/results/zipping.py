"""A zip that is written while it is sent: never a whole one in memory or on the disk."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

#: Bytes of a file that are read at once.
PIECE = 1 << 20
#: Of all entries: the same files give the same bytes.
_NO_TIME = (1980, 1, 1, 0, 0, 0)
#: Files that become smaller; pictures are compressed already.
_TEXT = (".csv", ".geojson", ".html", ".json")


class _Outlet(io.RawIOBase):
    """Takes what is written to it, until that is taken out."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, piece: bytes) -> int:  # type: ignore[override]
        self._pieces.append(bytes(piece))
        return len(piece)

    def take(self) -> bytes:
        taken, self._pieces = b"".join(self._pieces), []
        return taken


def zip_pieces(files: Iterable[tuple[str, Path | bytes]]) -> Iterator[bytes]:
    """The bytes of a zip, piece by piece.

    Parameters
    ----------
    files : iterable of (str, Path or bytes)
        Name of each file in the zip, and where it lies or what is in it; taken one by one, as the zip gets there.
    """
    outlet = _Outlet()
    with zipfile.ZipFile(outlet, "w") as archive:
        for name, content in files:
            entry = zipfile.ZipInfo(name, _NO_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED if name.endswith(_TEXT) else zipfile.ZIP_STORED
            with archive.open(entry, "w", force_zip64=True) as target, _opened(content) as source:
                while piece := source.read(PIECE):
                    target.write(piece)
                    yield outlet.take()
    yield outlet.take()


def _opened(content: Path | bytes) -> io.BufferedIOBase:
    return io.BytesIO(content) if isinstance(content, bytes) else content.open("rb")
