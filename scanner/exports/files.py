"""The files of one scan, by name; run.json comes last and is written by `scanner.exports.report`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from scanner.exports.dicom import check_dicom, write_annotations, write_parametric_map
from scanner.exports.geojson import write_detections, write_regions, write_tissue
from scanner.exports.grand_challenge import write_points
from scanner.exports.hotspot_picture import write_hotspot_pictures
from scanner.exports.map_picture import write_map_picture
from scanner.exports.ome_tiff import write_labels, write_map
from scanner.exports.ome_zarr import write_zarr
from scanner.exports.overview import Backdrop, draw_overview
from scanner.exports.page import write_page
from scanner.exports.segmentation_picture import write_segmentation_picture
from scanner.exports.table import write_table
from scanner.files.atomic import remove, write_picture
from scanner.files.result_names import (
    ANNOTATIONS_NAME,
    CANDIDATES_NAME,
    CLASSES_NAME,
    DETECTIONS_NAME,
    LABELS_NAME,
    MAP_DICOM_NAME,
    MAP_NAME,
    MAP_PICTURE_NAME,
    OVERVIEW_NAME,
    PAGE_NAME,
    POINTS_NAME,
    REGIONS_NAME,
    TABLE_NAME,
    TISSUE_NAME,
    ZARR_NAME,
)
from scanner.inference.prepared_slide import PreparedSlide
from scanner.result import ScanResult
from scanner.slides import Slide

#: A path, and what writes it: calls that, unless the file is there as an earlier run has finished it.
Once = Callable[[Path, Callable[[Path], None]], None]


def _always(path: Path, write: Callable[[Path], None]) -> None:
    write(path)


def write_results(
    folder: Path,
    result: ScanResult,
    prepared: PreparedSlide,
    *,
    backdrop: Future[Backdrop] | None = None,
    once: Once = _always,
) -> None:
    """Write the files of a scan into `folder`, each whole or not at all: those of every scan, and those asked for.

    Those as large as the map are written by `once`.
    """
    slide = prepared.slide
    # The overview takes about as long as all others: it is drawn and written beside them.
    with ThreadPoolExecutor(1, thread_name_prefix="overview") as beside:
        drawing = beside.submit(draw_overview, result, slide, backdrop)
        writing = beside.submit(lambda: write_picture(folder / OVERVIEW_NAME, drawing.result()))
        _write_data(folder, result, prepared)
        _write_maps(folder, result, once)
        hotspots = write_hotspot_pictures(folder, result, slide)
        write_page(folder / PAGE_NAME, result, prepared.model.card, overview=drawing.result(), hotspots=hotspots)
        writing.result()
    for name in prepared.settings.exports:
        EXTRAS[name].write(folder, result, prepared, once)


def _write_data(folder: Path, result: ScanResult, prepared: PreparedSlide) -> None:
    """Points and outlines."""
    slide = prepared.slide
    write_detections(folder / DETECTIONS_NAME, result.detections, origin=slide.origin)
    write_regions(folder / REGIONS_NAME, result, origin=slide.origin)
    write_tissue(folder / TISSUE_NAME, prepared.survey.tissue, origin=slide.origin)
    write_table(folder / TABLE_NAME, result.detections)
    write_table(folder / CANDIDATES_NAME, result.candidates)


def _write_maps(folder: Path, result: ScanResult, once: Once) -> None:
    """The map of each class, and the segmentation if there is one."""
    for layer, label in enumerate(result.mapped):
        read = partial(result.map.read, layer=layer)
        once(folder / map_name(layer, label), partial(write_map, read=read, frame=result.frame))
    write_map_picture(folder / MAP_PICTURE_NAME, result.map.read_highest, result.frame)
    if result.segmentation is not None:
        write = partial(write_labels, read=result.segmentation.read, frame=result.frame)
        once(folder / LABELS_NAME, write)
        write_segmentation_picture(folder / CLASSES_NAME, result.segmentation, result.mapped)


def map_name(layer: int, label: str) -> str:
    """Name of the file with a class's map: the target's has no class in it."""
    return MAP_NAME if layer == 0 else f"map-{re.sub(r'[^A-Za-z0-9]+', '-', label).strip('-') or layer}.ome.tiff"


def check_exports(exports: Iterable[str], slide: Slide) -> None:
    """Refuse, before a scan, files that could not be written after it.

    Raises
    ------
    SettingsError
        They do not go with this slide.
    """
    if "dicom" in exports:
        check_dicom(slide)


def remove_extras(folder: Path, exports: Iterable[str]) -> None:
    """Remove the files of these exports, which an earlier scan has written; everything else stays."""
    for name in EXTRAS.keys() & set(exports):
        for file in EXTRAS[name].files:
            remove(folder / file)


def _write_zarr(folder: Path, result: ScanResult, _prepared: PreparedSlide, once: Once) -> None:
    once(folder / ZARR_NAME, partial(write_zarr, read=result.map.read, frame=result.frame))


def _write_points(folder: Path, result: ScanResult, prepared: PreparedSlide, _once: Once) -> None:
    write_points(folder / POINTS_NAME, result.candidates, threshold=prepared.threshold)


def _write_dicom(folder: Path, result: ScanResult, prepared: PreparedSlide, once: Once) -> None:
    write_annotations(folder / ANNOTATIONS_NAME, result, prepared)
    once(folder / MAP_DICOM_NAME, partial(write_parametric_map, result=result, prepared=prepared))


@dataclass(frozen=True)
class Extra:
    """An export beyond the files of every scan."""

    files: tuple[str, ...]
    write: Callable[[Path, ScanResult, PreparedSlide, Once], None]


#: By the names of `scanner.settings.EXPORTS`.
EXTRAS = {
    "dicom": Extra((ANNOTATIONS_NAME, MAP_DICOM_NAME), _write_dicom),
    "grand-challenge": Extra((POINTS_NAME,), _write_points),
    "zarr": Extra((ZARR_NAME,), _write_zarr),
}
