from pathlib import Path

from scanner.exports.files import write_results
from scanner.inference.prepared_slide import PreparedSlide
from scanner.result import ScanResult

NAMES = {
    "candidates.csv",
    "detections.csv",
    "detections.geojson",
    "hotspot-1.png",
    "map.ome.tiff",
    "map.png",
    "overview.png",
    "regions.geojson",
    "report.html",
    "tissue.geojson",
}


def test_a_second_writing_gives_the_same_files(tmp_path: Path, result: ScanResult, prepared: PreparedSlide) -> None:
    contents = []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        write_results(folder, result, prepared)
        contents.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert set(contents[0]) == NAMES
    assert contents[0] == contents[1]
