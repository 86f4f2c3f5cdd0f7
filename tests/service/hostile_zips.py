"""Hostile archives, for the corpus of hostile files."""

from __future__ import annotations

from collections.abc import Iterator

from tests.service.fields import make_field, png
from tests.service.slides_in.test_archives import zipped


def hostile_zips() -> Iterator[tuple[str, bytes]]:
    field, thumbnail = png(make_field(94, 64, 64)), b"\xff\xd8\xff\xe0" + bytes(60)
    sound = zipped({"slide.mrxs": thumbnail, "slide/Slidedat.ini": b"[GENERAL]", "slide/Data0000.dat": field})
    yield "zip of rubbish as a MIRAX slide", sound
    yield (
        "zip of a MIRAX slide that refers to files elsewhere",
        zipped(
            {
                "slide.mrxs": thumbnail,
                "slide/Slidedat.ini": b"[HIERARCHICAL]\nINDEXFILE = ../../../../etc/passwd\n",
            }
        ),
    )
    yield (
        "zip of a VMS slide that refers to files elsewhere",
        zipped(
            {
                "a.vms": b"[Virtual Microscope Specimen]\nImageFile=/etc/passwd\nMacroImage=../../store.sqlite\n",
                "b": b"",
            }
        ),
    )
    yield "zip of rubbish as DICOM", zipped({str(number): bytes(128) + b"DICM" + bytes([number]) for number in (1, 2)})
    yield "zip within a zip", zipped({"a.zip": sound})
    yield "zip of a TIFF that is hostile", zipped({"a.tif": b"II*\0" + b"\xff" * 60})
    yield "zip bomb", zipped({"slide.dcm": bytes(120 << 20)})
    yield "zip whose names lead out", zipped({"../../evil.png": field, "/etc/evil.png": field})
    yield "zip with thousands of names", zipped({f"{number}.dcm": b"" for number in range(6000)})
    yield "zip of nothing", zipped({})
    yield "zip of folders alone", zipped({"a/": b"", "b/c/": b""})
    yield "zip with nothing but clutter", zipped({"__MACOSX/._a.png": field, ".DS_Store": b"x"})
    yield "zip whose end is cut off", sound[:-30]
    for place in (4, 8, 14, 26):
        yield f"zip with byte {place} of its head changed", sound[:place] + b"\xff" + sound[place + 1 :]
