"""DICOM slides made for tests: a series of one file a level, or several, as a scanner's converter writes them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit, generate_uid

from tests.factories.slides import Pixels

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
TILE = 64
Coding = Literal["jpeg", "jpeg2000", "raw"]
_SYNTAX = {"jpeg": JPEGBaseline8Bit, "jpeg2000": JPEG2000Lossless, "raw": ExplicitVRLittleEndian}


def write_dicom_series(
    folder: Path,
    levels: list[Pixels],
    *,
    coding: Coding = "jpeg",
    mpp: float = 0.25,
    uid: str | None = None,
    lost: Mapping[int, set[int]] | None = None,
) -> list[Pixels]:
    """Write level n as `level-n.dcm`; returns the levels as their tiles decode.

    `lost` names frames of a level that are left out: that level is then sparse, every frame with its own place.
    """
    series, study = uid or generate_uid(), generate_uid()
    decoded = []
    for index, level in enumerate(levels):
        left_out = (lost or {}).get(index, set())
        frames = [_encode(tile, coding) for tile in _tiles(level)]
        slide = _describe(level, (study, series), mpp=mpp * 2**index, is_reduced=index > 0, coding=coding)
        if left_out:
            kept = [number for number in range(len(frames)) if number not in left_out]
            _scatter(slide, kept, columns=-(-level.shape[1] // TILE))
            decoded.append(_assembled(level, [_decode(frame, coding) for frame in frames]))
            frames = [frames[number] for number in kept]
        slide.NumberOfFrames = len(frames)
        slide.PixelData = b"".join(frames) if coding == "raw" else encapsulate(frames)
        slide["PixelData"].VR = "OB"
        slide["PixelData"].is_undefined_length = coding != "raw"
        pydicom.dcmwrite(folder / f"level-{index}.dcm", slide, enforce_file_format=True)
        if not left_out:
            decoded.append(_assembled(level, [_decode(frame, coding) for frame in frames]))
    return decoded


def filled_up(level: Pixels) -> Pixels:
    """A level, with white around it up to whole tiles."""
    height, width = level.shape[:2]
    return np.pad(level, ((0, -height % TILE), (0, -width % TILE), (0, 0)), constant_values=255)


def _scatter(slide: Dataset, kept: list[int], *, columns: int) -> None:
    """Make a sparse slide of one with all frames."""
    slide.DimensionOrganizationType = "TILED_SPARSE"
    shared = slide.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    frames = []
    for number in kept:
        place, measures = Dataset(), Dataset()
        place.ColumnPositionInTotalImagePixelMatrix = number % columns * TILE + 1
        place.RowPositionInTotalImagePixelMatrix = number // columns * TILE + 1
        groups = Dataset()
        groups.PlanePositionSlideSequence = Sequence([place])
        measures.PixelSpacing = shared[0].PixelSpacing
        groups.PixelMeasuresSequence = Sequence([measures])
        frames.append(groups)
    slide.PerFrameFunctionalGroupsSequence = Sequence(frames)


def _tiles(level: Pixels) -> list[Pixels]:
    """In raster order, the last ones of a row or column filled up with white."""
    height, width = level.shape[:2]
    padded = filled_up(level)
    return [
        padded[top : top + TILE, left : left + TILE] for top in range(0, height, TILE) for left in range(0, width, TILE)
    ]


def _encode(tile: Pixels, coding: Coding) -> bytes:
    if coding == "raw":
        return np.ascontiguousarray(tile).tobytes()
    file = io.BytesIO()
    options = {"quality": 90, "subsampling": "4:2:2"} if coding == "jpeg" else {"irreversible": False, "mct": 0}
    Image.fromarray(tile).save(
        file,
        "JPEG" if coding == "jpeg" else "JPEG2000",
        **({"no_jp2": True} if coding == "jpeg2000" else {}),
        **options,
    )
    return file.getvalue()


def _decode(frame: bytes, coding: Coding) -> Pixels:
    if coding == "raw":
        return np.frombuffer(frame, np.uint8).reshape(TILE, TILE, 3)
    return np.asarray(Image.open(io.BytesIO(frame)).convert("RGB"))


def _assembled(level: Pixels, tiles: list[Pixels]) -> Pixels:
    result = np.empty_like(level)
    places = [(top, left) for top in range(0, level.shape[0], TILE) for left in range(0, level.shape[1], TILE)]
    for (top, left), tile in zip(places, tiles, strict=True):
        part = result[top : top + TILE, left : left + TILE]
        part[:] = tile[: part.shape[0], : part.shape[1]]
    return result


def _describe(level: Pixels, uids: tuple[str, str], *, mpp: float, is_reduced: bool, coding: Coding) -> Dataset:
    slide = Dataset()
    slide.file_meta = FileMetaDataset()
    slide.file_meta.TransferSyntaxUID = _SYNTAX[coding]
    slide.SOPClassUID = slide.file_meta.MediaStorageSOPClassUID = WHOLE_SLIDE
    slide.SOPInstanceUID = slide.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    slide.ImageType = ["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED" if is_reduced else "NONE"]
    slide.Modality = "SM"
    referenced = Dataset()  # A series that is named before our own, deeper down.
    referenced.SeriesInstanceUID = generate_uid()
    slide.ReferencedSeriesSequence = Sequence([referenced])
    slide["ReferencedSeriesSequence"].is_undefined_length = True
    slide.StudyInstanceUID, slide.SeriesInstanceUID = uids
    slide.Rows = slide.Columns = TILE
    slide.TotalPixelMatrixRows, slide.TotalPixelMatrixColumns = level.shape[:2]
    slide.TotalPixelMatrixFocalPlanes = 1
    slide.SamplesPerPixel, slide.PlanarConfiguration, slide.PixelRepresentation = 3, 0, 0
    slide.BitsAllocated, slide.BitsStored, slide.HighBit = 8, 8, 7
    slide.PhotometricInterpretation = "YBR_FULL_422" if coding == "jpeg" else "RGB"
    slide.DimensionOrganizationType = "TILED_FULL"
    measures = Dataset()
    measures.PixelSpacing = [mpp / 1000, mpp / 1000]
    groups = Dataset()
    groups.PixelMeasuresSequence = Sequence([measures])
    slide.SharedFunctionalGroupsSequence = Sequence([groups])
    return slide
