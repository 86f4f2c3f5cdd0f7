"""Pen marks are no tissue, and tissue is no pen mark, whatever its stain."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from skimage import data

from scanner import scan
from scanner.slides import open_slide
from scanner.survey.tissue import BLACK, TissueMask, find_tissue
from tests.factories.array_slide import ArraySlide, frame_of
from tests.factories.ink import INKS, Line, drawn
from tests.factories.slides import Pixels, texture, write_pyramid
from tests.networks.small_models import dot_model, planted

#: On the glass of the example: beside the tissue, and in its corner.
GLASS = [(90, 1500, 300, 2700), (1500, 120, 2100, 450)]
OVER_TISSUE: Line = (800, 1000, 1300, 1700)


def mask_of(pixels: Pixels, *, mpp: float = 0.499, keep_ink: bool = False) -> TissueMask:
    slide = ArraySlide([pixels], mpp=mpp)
    return find_tissue(slide, frame_of(slide), keep_ink=keep_ink)


@pytest.fixture(scope="module")
def clean(example_slide: Path) -> Pixels:
    with open_slide(example_slide) as slide:
        return slide.read(0, (0, 0, slide.levels[0].height, slide.levels[0].width))


@pytest.fixture(scope="module")
def clean_mm2(clean: Pixels) -> float:
    mask = mask_of(clean)
    assert mask.is_ink is None
    return mask.area_mm2


@pytest.mark.parametrize(("ink", "width", "opacity"), list(product(INKS, [40, 120], [1.0, 0.5])))
def test_strokes_on_glass_leave_the_tissue_as_it_is(
    clean: Pixels, clean_mm2: float, ink: str, width: int, opacity: float
) -> None:
    marked, covered = clean, np.zeros(clean.shape[:2], np.bool_)
    for line in GLASS:
        marked, stroke = drawn(marked, line, ink=ink, width=width, opacity=opacity)
        covered |= stroke
    mask = mask_of(marked)
    assert mask.area_mm2 == pytest.approx(clean_mm2, rel=0.02)
    assert mask.ink_mm2 == pytest.approx(covered.sum() * (0.499 / 1000) ** 2, rel=0.5), "fringes are much of thin ones"
    assert mask.is_ink is not None
    assert not (mask.is_ink & (mask.is_tissue | mask.values)).any()
    if (ink, opacity) != ("pure black", 1.0):  # What is black altogether counts as not scanned anyway.
        assert mask_of(marked, keep_ink=True).area_mm2 > 1.02 * clean_mm2


@pytest.mark.parametrize("ink", INKS)
def test_tissue_under_opaque_ink_is_left_out(clean: Pixels, clean_mm2: float, ink: str) -> None:
    marked, covered = drawn(clean, OVER_TISSUE, ink=ink, width=100)
    mask = mask_of(marked)
    assert mask.is_ink is not None
    cells = covered[8::16, 8::16]  # The centres of cells of 16 px, which are 16.03.
    assert mask.is_ink[: cells.shape[0], : cells.shape[1]][cells].mean() > 0.97
    assert mask.area_mm2 + mask.ink_mm2 == pytest.approx(clean_mm2, rel=0.02)


@given(
    ink=st.sampled_from(sorted(INKS)),
    start=st.tuples(st.integers(150, 450), st.integers(150, 450)),
    turn=st.floats(0, 6.28),
    width=st.integers(80, 160),
    opacity=st.floats(0.6, 1),
    glass=st.integers(225, 252),
)
def test_strokes_are_found_wherever_they_lie(
    ink: str, start: tuple[int, int], turn: float, width: int, opacity: float, glass: int
) -> None:
    assume(ink != "pure black" or (1 - opacity) * glass > BLACK + 1)  # What is black altogether counts as not scanned.
    empty = np.full((600, 600, 3), glass, np.uint8)
    end = int(start[0] + 150 * np.cos(turn)), int(start[1] + 150 * np.sin(turn))
    marked, covered = drawn(empty, (*start, *end), ink=ink, width=width, opacity=opacity)
    mask = mask_of(marked, mpp=0.5)
    assert mask.is_ink is not None
    cells = covered[8::16, 8::16]
    assert mask.is_ink[: cells.shape[0], : cells.shape[1]][cells].mean() > 0.85
    assert mask.area_mm2 <= 0.1 * covered.sum() * 0.25e-6


@pytest.mark.parametrize("gain", [0.5, 0.75, 1.0, 1.5])
@pytest.mark.parametrize("stain", ["H&E", "DAB"])
def test_stained_tissue_is_no_ink(clean: Pixels, stain: str, gain: float) -> None:
    pixels = clean if stain == "H&E" else data.immunohistochemistry()
    density = -np.log10((pixels.astype(np.float64) + 1) / 256) * gain
    mask = mask_of((256 * 10**-density - 1).clip(0, 255).astype(np.uint8))
    assert mask.ink_mm2 <= 0.005 * mask.area_mm2


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6])
def test_pigment_in_tissue_is_no_ink(share: float) -> None:
    """Anthracosis: black grains of 1 to 2 um, in clouds."""
    rng = np.random.default_rng(5)
    pixels = texture(800, 800)
    cloud = np.kron(rng.random((25, 25)), np.ones((32, 32))) < 0.5
    grains = np.kron(rng.random((200, 200)) < share, np.ones((4, 4), np.bool_)) & cloud
    pixels[grains] = (25, 22, 24)
    mask = mask_of(pixels, mpp=0.4)
    assert mask.ink_mm2 <= 0.005 * mask.area_mm2


def test_black_that_was_never_scanned_is_no_ink() -> None:
    pixels = texture(600, 600)
    pixels[:, 400:] = 0
    mask = mask_of(pixels)
    assert mask.is_ink is None
    assert mask.area_mm2 == pytest.approx(600 * 400 * 0.249e-6, rel=0.05)


@pytest.mark.parametrize("folder", ["mitos14", "mitos14_aperio", "glioma_mdc"])
def test_no_real_field_loses_tissue(shared_data: Path, folder: str) -> None:
    for path in sorted((shared_data / folder / "images").iterdir())[::12]:
        with open_slide(path, 0.25) as slide:
            mask = find_tissue(slide, frame_of(slide))
            assert mask.ink_mm2 <= 0.005 * mask.area_mm2, path


def test_ink_is_reported_drawn_and_not_scanned(tmp_path: Path) -> None:
    pixels = np.full((900, 900, 3), 244, np.uint8)
    pixels[100:740, 100:740] = planted(640, 640, [(200, 200), (450, 450)])
    pixels, _ = drawn(pixels, (500, 550, 600, 550), ink="green", width=120)  # Hides the second dot.
    write_pyramid(tmp_path / "slide.svs", pixels, levels=3, compression="deflate")
    result = scan(tmp_path / "slide.svs", dot_model(), tmp_path / "out")
    kept = scan(tmp_path / "slide.svs", dot_model(), keep_ink=True)
    assert result.report["area_mm2"]["ink"] == pytest.approx(result.tissue.ink_mm2)
    assert result.report["area_mm2"]["ink"] > 220 * 120 * (0.25 / 1000) ** 2 * 0.8
    assert kept.report["area_mm2"]["ink"] == 0
    assert kept.report["area_mm2"]["tissue"] > result.report["area_mm2"]["tissue"]
    names = [feature["properties"]["name"] for feature in regions(tmp_path / "out")]
    assert "Ink" in names
    from PIL import Image

    from scanner.exports.marks import INK_COLOUR

    picture = np.asarray(Image.open(tmp_path / "out" / "overview.png").convert("RGB"))
    assert (picture == INK_COLOUR).all(axis=2).sum() > 100


def regions(folder: Path) -> list[dict[str, dict[str, str]]]:
    features: list[dict[str, dict[str, str]]] = json.loads((folder / "regions.geojson").read_text())["features"]
    return features
