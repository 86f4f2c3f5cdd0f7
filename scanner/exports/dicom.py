"""Results of a DICOM slide as DICOM: points as Microscopy Bulk Simple Annotations, the map as a Parametric Map.

Needs the extra `dicom` (highdicom), which is imported within functions. UIDs come from the content and dates from the
slide, so that a second scan gives the same files.
"""

from __future__ import annotations

import json
import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.card import NOTICE
from scanner.detections.detection import Detection, counted
from scanner.errors import OutputError, SettingsError
from scanner.exports.dicom_source import find_source
from scanner.exports.map_picture import pool_map
from scanner.files.atomic import replacing
from scanner.geometry.frames import Frame
from scanner.inference.prepared_slide import PreparedSlide
from scanner.result import ScanResult
from scanner.slides.pixels.protocol import Slide

if TYPE_CHECKING:
    from pydicom import Dataset

#: Codes of ours: DICOM has none for figures. Designators that begin with 99 are private.
SCHEME = "99MITOSCAN"
#: Of UIDs that stand for content.
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://mitoscan.invalid/dicom")
#: The map is pooled by powers of two to at most this many pixels: it is made in memory.
LARGEST_MAP_PX = 2**26
TILE_PX = 512


def check_dicom(slide: Slide) -> None:
    """Refuse, before a scan, what could not be written after it.

    Raises
    ------
    SettingsError
        highdicom is not installed, or the slide is no DICOM slide.
    """
    try:
        import highdicom  # noqa: F401
    except ImportError as error:
        raise SettingsError("exports = 'dicom' needs highdicom; install mitoscan[dicom]") from error
    find_source(slide)


def write_annotations(path: Path, result: ScanResult, prepared: PreparedSlide) -> None:
    """Write `annotations.dcm`: groups of points with their scores, in px of the slide's total pixel matrix.

    Detections, those on the border, and candidates below the threshold are groups of their own. DICOM has no empty
    annotations: where there are no candidates at all, no file is written, and an old one removed.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    detections = set(result.detections)
    parts = {
        "Mitosis": counted(result.detections),
        "Mitosis: border": tuple(detection for detection in result.detections if detection.border),
        "Candidate": tuple(candidate for candidate in result.candidates if candidate not in detections),
    }
    if not any(parts.values()):
        path.unlink(missing_ok=True)
        return
    from highdicom.ann import MicroscopyBulkSimpleAnnotations

    with _written(path, "annotations", result, prepared) as (source, shared):
        groups = _groups(parts, prepared, result)
        dataset = MicroscopyBulkSimpleAnnotations([source], "2D", groups, content_label="MITOSES", **shared)
        _save(path, dataset)


def write_parametric_map(path: Path, result: ScanResult, prepared: PreparedSlide) -> None:
    """Write `map.dcm`: the probability map in steps of 1 / 255, in tiles that lie on the slide.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    import highdicom as hd
    from highdicom.pm import ParametricMap, RealWorldValueMapping
    from pydicom.sr.codedict import codes

    frame = result.frame
    pooling = _pooling(frame)
    shape = -(-frame.map_height // pooling), -(-frame.map_width // pooling)
    values = pool_map(result.map.read, frame, shape, px_um=frame.map_mpp * pooling)
    mapping = RealWorldValueMapping(
        lut_label="probability",
        lut_explanation="probability of a mitotic figure",
        unit=codes.UCUM.NoUnits,
        value_range=(0, 255),
        slope=1 / 255,
        intercept=0.0,
    )
    with _written(path, "map", result, prepared) as (source, shared):
        spacing = [frame.map_mpp * pooling / 1000] * 2
        dataset = ParametricMap(
            [source],
            values,
            contains_recognizable_visual_features=False,
            real_world_value_mappings=[mapping],
            voi_lut_transformations=[hd.VOILUTTransformation(window_center=128.0, window_width=256.0)],
            pixel_measures=hd.PixelMeasuresSequence(spacing, slice_thickness=0.001),
            plane_positions=[_position(source, frame, pooling)],
            tile_pixel_array=True,
            tile_size=(TILE_PX, TILE_PX),
            content_label="PROBABILITY",
            **shared,
        )
        _save(path, dataset)


def _groups(parts: dict[str, tuple[Detection, ...]], prepared: PreparedSlide, result: ScanResult) -> list[Any]:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.ann import AnnotationGroup, Measurements
    from highdicom.sr import CodedConcept
    from pydicom.sr.codedict import codes

    card = prepared.model.card
    algorithm = AlgorithmIdentificationSequence(card.name, codes.DCM.ArtificialIntelligence, card.version)
    groups: list[Any] = []
    for label, points in parts.items():
        if not points:
            continue
        # Of the total pixel matrix (0, 0) is the corner of the first pixel; column before row.
        places = [np.array([[point.col + 0.5, point.row + 0.5]], np.float32) for point in points]
        scores = np.array([point.score for point in points], np.float32)
        groups.append(
            AnnotationGroup(
                number=len(groups) + 1,
                uid=_uid(f"group {label}", result),
                label=label,
                annotated_property_category=CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure"),
                annotated_property_type=CodedConcept("mitotic-figure", SCHEME, "Mitotic figure"),
                graphic_type="POINT",
                graphic_data=places,
                algorithm_type="AUTOMATIC",
                algorithm_identification=algorithm,
                measurements=[Measurements(CodedConcept("score", SCHEME, "Score"), scores, codes.UCUM.NoUnits)],
            )
        )
    return groups


@contextmanager
def _written(
    path: Path, kind: str, result: ScanResult, prepared: PreparedSlide
) -> Iterator[tuple[Dataset, dict[str, Any]]]:
    """The slide's header, and what every object of ours says; highdicom's complaints become an OutputError."""
    source = find_source(prepared.slide)
    shared = {
        "series_instance_uid": _uid(f"series {kind}", result),
        "series_number": 1000,
        "sop_instance_uid": _uid(kind, result),
        "instance_number": 1,
        "manufacturer": "mitoscan",
        "manufacturer_model_name": prepared.model.card.name,
        "software_versions": version("mitoscan"),
        "device_serial_number": "0",
        "content_description": NOTICE,
        "content_date": source.ContentDate,
        "content_time": source.ContentTime,
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Of the slide's header, which is not ours to mend.
            yield source, shared
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise OutputError(f"{path} cannot be written: the slide's DICOM header does not allow it: {error}") from error


def _save(path: Path, dataset: Dataset) -> None:
    for keyword in ("InstanceCreationDate", "InstanceCreationTime"):
        if keyword in dataset:
            delattr(dataset, keyword)
    for equipment in dataset.get("ContributingEquipmentSequence", []):
        equipment.pop("ContributionDateTime", None)
    # highdicom draws these at random; they say which indices belong together within this file.
    organisation = f"{dataset.SOPInstanceUID}.1"[:64]
    for item in [*dataset.get("DimensionOrganizationSequence", []), *dataset.get("DimensionIndexSequence", [])]:
        item.DimensionOrganizationUID = organisation
    with replacing(path) as temporary:
        dataset.save_as(temporary)


def _position(source: Dataset, frame: Frame, pooling: int) -> Any:
    """Where the centre of the pooled map's first pixel lies on the glass."""
    import highdicom as hd

    origin = source.TotalPixelMatrixOriginSequence[0]
    start = np.array([origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem, 0.0], np.float64)
    along, down = np.array(source.ImageOrientationSlide, np.float64).reshape(2, 3)
    offset_mm = ((frame.grid_mpp - frame.level0_mpp) / 2 + frame.map_mpp * (pooling - 1) / 2) / 1000
    place: Sequence[float] = (start + offset_mm * (along + down)).tolist()
    return hd.PlanePositionSequence("SLIDE", image_position=place, pixel_matrix_position=(1, 1))


def _pooling(frame: Frame) -> int:
    pooling = 1
    while -(-frame.map_height // pooling) * -(-frame.map_width // pooling) > LARGEST_MAP_PX:
        pooling *= 2
    return pooling


def _uid(kind: str, result: ScanResult) -> str:
    """A UID that stands for this part of exactly this result."""
    content = json.dumps([kind, result.report], sort_keys=True, default=str)
    return f"2.25.{uuid.uuid5(NAMESPACE, content).int}"
