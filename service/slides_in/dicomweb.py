"""DICOMweb: a slide that is a series on a DICOM server, retrieved as a whole (WADO-RS, DICOM PS3.18 chapter 10)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

_SERIES = re.compile(r".*/studies/[0-9.]{1,64}/series/[0-9.]{1,64}/?")
#: The files as they are stored: a server that may choose would decode their tiles, to many times the bytes.
HEADERS = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}


def is_series(url: str) -> bool:
    """True if the URL is that of a series on a DICOMweb server."""
    place = urlsplit(url)
    return place.scheme in {"http", "https"} and _SERIES.fullmatch(place.path) is not None


def instance_name(_headers: Mapping[bytes, bytes]) -> str:
    """Name of a part of the answer: each is a file of the series, and has no name of its own."""
    return "instance.dcm"
