"""DICOM written by a scan of a DICOM slide, read back by highdicom."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scanner import scan
from scanner.errors import SettingsError
from scanner.exports import dicom
from scanner.result import ScanResult
from tests.factories.dicom import write_dicom_series
from tests.factories.slides import pyramid, texture, write_pyramid
from tests.networks.small_models import random_model

highdicom = pytest.importorskip("highdicom", reason="needs the extra dicom")
pydicom = pytest.importorskip("pydicom", reason="needs the extra dicom")


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("series")
    write_dicom_series(folder, pyramid(texture(301, 421), 3))
    return folder / "level-2.dcm"  # A slide may be named by any file of its series.


@pytest.fixture(scope="module")
def scanned(slide: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ScanResult]:
    out = tmp_path_factory.mktemp("out")
    return out, scan(slide, random_model(stride=4), out, exports=("dicom",), threshold=0.6)


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom", "ignore::UserWarning:highdicom")
def test_annotations_read_back_are_the_candidates(scanned: tuple[Path, ScanResult], slide: Path) -> None:
    out, result = scanned
    read = highdicom.ann.annread(out / "annotations.dcm")
    found = {}
    for group in read.get_annotation_groups():
        places = np.array(group.get_graphic_data("2D")).reshape(-1, 2)
        _, scores, _ = group.get_measurements()
        found |= {(x, y): (score, group.label) for (x, y), (score,) in zip(places.tolist(), scores, strict=True)}
    assert len(found) == len(result.candidates) > 20
    for candidate in result.candidates:
        score, label = found[float(np.float32(candidate.col + 0.5)), float(np.float32(candidate.row + 0.5))]
        assert score == pytest.approx(candidate.score, abs=1e-6)
        expected = "Candidate" if candidate.score < 0.6 else "Mitosis: border" if candidate.border else "Mitosis"
        assert label == expected
    level0 = _header(slide.with_name("level-0.dcm"))
    assert read.ReferencedImageSequence[0].ReferencedSOPInstanceUID == level0.SOPInstanceUID
    assert read.StudyInstanceUID == level0.StudyInstanceUID


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom", "ignore::UserWarning:highdicom")
def test_the_parametric_map_is_the_map(scanned: tuple[Path, ScanResult]) -> None:
    out, result = scanned
    read = highdicom.pm.ParametricMap.from_file(out / "map.dcm")
    stored = read.get_total_pixel_matrix(apply_real_world_transform=True)
    np.testing.assert_allclose(stored, np.asarray(result.map), atol=0.5 / 255 + 1e-6)
    spacing = read.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
    assert [float(side) for side in spacing] == pytest.approx([0.001, 0.001])  # 4 px of 0.25 um


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom", "ignore::UserWarning:highdicom")
def test_large_maps_are_pooled_and_stay_in_place(slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom, "LARGEST_MAP_PX", 38 * 53)  # The map has 76 x 106.
    result = scan(slide, random_model(stride=4), tmp_path, exports=("dicom",))
    read = highdicom.pm.ParametricMap.from_file(tmp_path / "map.dcm")
    pooled = np.asarray(result.map).reshape(38, 2, 53, 2).max(axis=(1, 3))
    stored = read.get_total_pixel_matrix(apply_real_world_transform=True)
    np.testing.assert_allclose(stored, pooled, atol=0.5 / 255 + 1e-6)
    # The slide's rows run along -x and its columns along -y; half a map px of 1 um is the shift of the first centre.
    place = read.PerFrameFunctionalGroupsSequence[0].PlanePositionSlideSequence[0]
    offsets = (place.XOffsetInSlideCoordinateSystem, place.YOffsetInSlideCoordinateSystem)
    assert [float(offset) for offset in offsets] == pytest.approx([-0.0005, -0.0005])


def test_a_second_scan_gives_the_same_bytes(slide: Path, scanned: tuple[Path, ScanResult], tmp_path: Path) -> None:
    time.sleep(1.1)  # DICOM's times are in seconds.
    scan(slide, random_model(stride=4), tmp_path, exports=("dicom",), threshold=0.6)
    for name in ("annotations.dcm", "map.dcm"):
        assert (tmp_path / name).read_bytes() == (scanned[0] / name).read_bytes()


def test_other_slides_are_refused_before_they_are_scanned(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "a.svs", texture(150, 150))
    with pytest.raises(SettingsError, match=r"'dicom' needs a DICOM slide, which a\.svs is not"):
        scan(tmp_path / "a.svs", random_model(stride=4), tmp_path / "out", exports=("dicom",))
    assert not (tmp_path / "out").exists()


def test_unknown_exports_are_refused(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "a.svs", texture(150, 150))
    with pytest.raises(SettingsError, match="'fax' is impossible; pass dicom, grand-challenge, zarr"):
        scan(tmp_path / "a.svs", random_model(stride=4), exports=("fax",))


def _header(path: Path) -> Any:
    return pydicom.dcmread(path, stop_before_pixels=True)
