"""The second opinion: nothing but OpenSlide's known errors on any format that the documentation names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from scanner.slides import Slide, open_slide
from scanner.slides.known_errors import Aspect
from scanner.slides.pixels.protocol import Pixels
from scanner.slides.second_opinion import lines_of_opinion, sample_places, second_opinion
from tests.factories.bif import write_bif
from tests.factories.czi import Scene, write_czi
from tests.factories.dicom import filled_up, write_dicom_series
from tests.factories.holes import leave_out
from tests.factories.slides import pyramid, texture, write_pyramid
from tests.factories.vendor import write_mirax, write_ndpi, write_scn, write_vms
from tests.factories.zarr import write_ome_zarr
from tests.slides.formats.test_bif import area

SLIDE = texture(512, 768)
LEVELS = pyramid(SLIDE, 3)
FIELDS = {(row, col): texture(128, 128, seed=row + col) for row in range(2) for col in range(3)}


def a_svs(path: Path, compression: str) -> None:
    write_pyramid(path, SLIDE, compression=compression)


def a_svs_with_holes(path: Path, level: int) -> None:
    a_svs(path, "jpeg")
    leave_out(path, level, [0, 3])


def a_czi(path: Path) -> None:
    pytest.importorskip("pylibCZIrw", reason="needs the extra `czi`")
    write_czi(path, [Scene(SLIDE)])


def a_field(path: Path) -> None:
    Image.fromarray(SLIDE).save(path)


#: What is written, and the aspects in which OpenSlide is known to differ; None: it does not read the format.
FORMATS: dict[str, tuple[str, Callable[[Path], object], set[Aspect] | None]] = {
    "SVS, JPEG": ("a.svs", lambda path: a_svs(path, "jpeg"), set()),
    "SVS, JPEG 2000": ("a.svs", lambda path: a_svs(path, "aperio_jp2000_rgb"), set()),
    "SVS, LZW": ("a.svs", lambda path: a_svs(path, "lzw"), set()),
    "SVS, deflate": ("a.svs", lambda path: a_svs(path, "zlib"), set()),
    "tiled TIFF": ("a.tif", lambda path: write_pyramid(path, SLIDE, style="generic"), set()),
    "OME-TIFF": (
        "a.ome.tif",
        lambda path: write_pyramid(path, SLIDE, style="ome"),
        {Aspect.MISSING_LEVEL, Aspect.SILENT_MPP},
    ),
    "NDPI": ("a.ndpi", lambda path: write_ndpi(path, LEVELS), set()),
    "VMS": ("a.vms", lambda path: write_vms(path, [SLIDE[:, :384], SLIDE[:, 384:]], pyramid(SLIDE, 4)[-1]), set()),
    "MIRAX": ("a.mrxs", lambda path: write_mirax(path, FIELDS, grid=(2, 3)), set()),
    "SCN": ("a.scn", lambda path: write_scn(path, LEVELS, origin=(64, 128)), set()),
    "BIF": ("a.bif", lambda path: write_bif(path, [area(4, 5, overlap=8)]), set()),
    "DICOM": ("level-0.dcm", lambda path: write_dicom_series(path.parent, LEVELS), set()),
    "DICOM, padded": (
        "level-0.dcm",
        lambda path: write_dicom_series(path.parent, [filled_up(level) for level in pyramid(texture(450, 700), 3)]),
        {Aspect.DOWNSAMPLE, Aspect.SIZE},
    ),
    "DICOM, frames lost": ("level-0.dcm", lambda path: write_dicom_series(path.parent, LEVELS, lost={1: {2}}), set()),
    "SVS, tiles of a reduced level lost": ("a.svs", lambda path: a_svs_with_holes(path, 1), {Aspect.REDRAWN}),
    "SVS, tiles of level 0 lost": ("a.svs", lambda path: a_svs_with_holes(path, 0), {Aspect.REDRAWN}),
    "CZI": ("a.czi", a_czi, {Aspect.OPENING}),
    "OME-Zarr 0.4": ("a.zarr", lambda path: write_ome_zarr(path, LEVELS, version="0.4"), None),
    "OME-Zarr 0.5": ("a.zarr", lambda path: write_ome_zarr(path, LEVELS, version="0.5"), None),
    "PNG": ("a.png", a_field, None),
    "JPEG": ("a.jpg", a_field, None),
    "WebP": ("a.webp", a_field, None),
    "BMP": ("a.bmp", a_field, None),
    "striped TIFF": ("a.tif", lambda path: tifffile.imwrite(path, SLIDE, photometric="rgb"), None),
}


@pytest.mark.parametrize("name", FORMATS)
def test_openslide_differs_by_its_known_errors_alone(tmp_path: Path, name: str) -> None:
    file, write, aspects = FORMATS[name]
    write(tmp_path / file)
    with open_slide(tmp_path / file) as slide:
        found = second_opinion(slide)
    if aspects is None:
        assert found is None
        assert "nothing to compare with" in lines_of_opinion(found)[0]
        return
    assert found is not None
    assert {difference.aspect for difference in found} == aspects
    assert all(difference.explained for difference in found), lines_of_opinion(found)


class Wrong(Slide):
    """A slide of which something else is said than it is."""

    def __init__(self, slide: Slide) -> None:
        self.path, self.mpp, self.mpp_source, self.levels = slide.path, slide.mpp, slide.mpp_source, slide.levels
        self._slide = slide

    def read(self, level: int, box: tuple[int, int, int, int]) -> Pixels:
        return self._slide.read(level, box)

    def close(self) -> None:
        self._slide.close()


def test_what_no_known_error_explains_is_named(tmp_path: Path) -> None:
    a_svs(tmp_path / "a.svs", "jpeg")
    with Wrong(open_slide(tmp_path / "a.svs")) as slide:
        assert second_opinion(slide) == []
        assert slide.mpp is not None
        slide.mpp *= 1.01
        slide.levels = slide.levels[:2]
        found = second_opinion(slide)
    assert found is not None
    assert [difference.aspect for difference in found] == [Aspect.MPP, Aspect.EXTRA_LEVEL]
    assert [difference.explained for difference in found] == ["", ""]
    lines = lines_of_opinion(found)
    assert "0.2525 um/px (aperio description); OpenSlide: 0.25 um/px (NOT EXPLAINED)" in lines[0]
    assert "OpenSlide: level 2 of 192 x 128 px (NOT EXPLAINED)" in lines[1]


def test_a_pixel_in_the_sample_that_differs_is_named_with_its_place(tmp_path: Path) -> None:
    a_svs(tmp_path / "a.svs", "zlib")
    with Wrong(open_slide(tmp_path / "a.svs")) as slide:
        honest = slide.read

        def read(level: int, box: tuple[int, int, int, int]) -> Pixels:
            pixels = np.array(honest(level, box))
            if level == 1 and box[:2] == (0, 0):
                pixels[5, 7, 2] ^= 1
            return pixels

        slide.read = read  # type: ignore[method-assign]
        found = second_opinion(slide)
    assert found is not None
    assert [difference.aspect for difference in found] == [Aspect.PIXELS]
    assert found[0].ours == "level 1, rows 0 to 64, columns 0 to 64: 1 of 4096 pixels differ, by 8.14e-05 on average"


def test_a_slide_that_openslide_knows_and_does_not_open_differs(tmp_path: Path) -> None:
    path = tmp_path / "a.svs"
    a_svs(path, "jpeg")
    with Wrong(open_slide(path)) as slide:
        write_bif(path, [area(2, 2, overlap=8)])
        path.write_bytes(path.read_bytes().replace(b'"RIGHT"', b'"RIGXX"'))
        found = second_opinion(slide)
    assert found is not None
    assert [difference.aspect for difference in found] == [Aspect.OPENING]
    assert "RIGXX" in found[0].theirs
    assert not found[0].explained


def test_the_sample_is_spread_over_the_level_and_always_the_same(tmp_path: Path) -> None:
    a_svs(tmp_path / "a.svs", "jpeg")
    with open_slide(tmp_path / "a.svs") as slide:
        for level in slide.levels:
            places = sample_places(level, is_whole=True)
            assert places == sample_places(level, is_whole=True)
            assert places[0][:2] == (0, 0)
            assert places[-1][2:] == (level.height, level.width)
        assert sample_places(slide.levels[0], is_whole=False) == [(0, 0, 512, 512)]
