"""The files of one scan, by name; run.json comes last and is written by `scanner.report`."""

from __future__ import annotations

from pathlib import Path

from scanner.exports.geojson import write_detections, write_regions, write_tissue
from scanner.exports.map_picture import write_map_picture
from scanner.exports.ome_tiff import write_map
from scanner.exports.overview import write_overview
from scanner.exports.table import write_table
from scanner.masks import EXPORTED_NAME
from scanner.result import PreparedSlide, ScanResult

DETECTIONS_NAME = "detections.geojson"
REGIONS_NAME = "regions.geojson"
TISSUE_NAME = EXPORTED_NAME
TABLE_NAME = "detections.csv"
CANDIDATES_NAME = "candidates.csv"
MAP_NAME = "map.ome.tiff"
MAP_PICTURE_NAME = "map.png"
OVERVIEW_NAME = "overview.png"


def write_results(folder: Path, result: ScanResult, prepared: PreparedSlide) -> None:
    """Write detections, candidates, regions, map and overview into `folder`, each whole or not at all."""
    slide = prepared.slide
    write_detections(folder / DETECTIONS_NAME, result.detections, origin=slide.origin)
    write_regions(folder / REGIONS_NAME, result, origin=slide.origin)
    write_tissue(folder / TISSUE_NAME, prepared.tissue, origin=slide.origin)
    write_table(folder / TABLE_NAME, result.detections)
    write_table(folder / CANDIDATES_NAME, result.candidates)
    write_map(folder / MAP_NAME, result.map.read, result.frame)
    write_map_picture(folder / MAP_PICTURE_NAME, result.map.read, result.frame)
    write_overview(folder / OVERVIEW_NAME, result, slide)
