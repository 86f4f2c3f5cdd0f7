"""The DICOM slide that annotations and maps are written for: the header of its level 0."""

from __future__ import annotations

import copy
import warnings
from typing import TYPE_CHECKING

from scanner.errors import SettingsError
from scanner.slides.pixels.protocol import Slide

if TYPE_CHECKING:
    from pydicom import Dataset

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
#: What the copied header must have, though it may be empty.
_EXPECTED = tuple(
    "PatientID PatientName PatientBirthDate PatientSex AccessionNumber StudyID StudyDate StudyTime".split()
)


def find_source(slide: Slide) -> Dataset:
    """Header of the file that holds level 0, with what older files leave out."""
    import pydicom

    level0 = slide.levels[0]
    folder = slide.path if slide.path.is_dir() else slide.path.parent
    others = sorted(path for path in folder.iterdir() if path.is_file() and path != slide.path)
    series = None
    for path in [slide.path, *others] if slide.path.is_file() else others:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                header = pydicom.dcmread(path, stop_before_pixels=True)
        except (pydicom.errors.InvalidDicomError, OSError):
            if series is None and path == slide.path:
                break
            continue
        series = series or header.get("SeriesInstanceUID")
        size = header.get("TotalPixelMatrixRows"), header.get("TotalPixelMatrixColumns")
        is_level0 = header.get("SOPClassUID") == WHOLE_SLIDE and size == (level0.height, level0.width)
        if is_level0 and header.SeriesInstanceUID == series:
            return _completed(header)
    raise SettingsError(f"exports = 'dicom' needs a DICOM slide, which {slide.path.name} is not")


def _completed(header: Dataset) -> Dataset:
    from pydicom import Dataset

    complete = copy.deepcopy(header)
    for keyword in _EXPECTED:
        if keyword not in complete:
            setattr(complete, keyword, None)
    if "TotalPixelMatrixOriginSequence" not in complete:
        origin = Dataset()
        origin.XOffsetInSlideCoordinateSystem = origin.YOffsetInSlideCoordinateSystem = 0.0
        complete.TotalPixelMatrixOriginSequence = [origin]
    defaults = {
        "ImageOrientationSlide": [0.0, -1.0, 0.0, -1.0, 0.0, 0.0],
        "FrameOfReferenceUID": header.SeriesInstanceUID,
        "ContentDate": header.get("StudyDate") or "19700101",
        "ContentTime": header.get("StudyTime") or "000000",
    }
    for keyword, value in defaults.items():
        if not complete.get(keyword):
            setattr(complete, keyword, value)
    return complete
