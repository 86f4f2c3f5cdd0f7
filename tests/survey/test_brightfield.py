"""refuse_other_stains: grey and fluorescence are refused, stained tissue and empty glass never."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scanner.errors import UnsupportedSlideError
from scanner.geometry.frames import Box
from scanner.slides import open_slide
from scanner.survey.brightfield import find_other_stain, measure_places, refuse_other_stains
from tests.factories.array_slide import ArraySlide, frame_of
from tests.factories.slides import Pixels, pyramid, texture, write_pyramid

HEIGHT, WIDTH = 900, 1300
TISSUE = texture(HEIGHT, WIDTH)


def fluorescence(strength: float = 1.0) -> Pixels:
    """Blue nuclei and green rims on black, with the camera's noise."""
    rng = np.random.default_rng(0)
    is_nucleus = TISSUE[:, :, 0] < 150
    signal = np.zeros((HEIGHT, WIDTH, 3))
    signal[:, :, 2] = 220 * is_nucleus
    signal[:, :, 1] = 90 * (np.roll(is_nucleus, 3, axis=0) & ~is_nucleus)
    return (strength * signal + rng.normal(6, 3, signal.shape)).clip(0, 255).astype(np.uint8)


def grey(pixels: Pixels) -> Pixels:
    return np.repeat(pixels.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)


def on_glass(pixels: Pixels, share: float) -> Pixels:
    """The pixels on the left `share` of the slide, glass on the rest."""
    slide = np.full((HEIGHT, WIDTH, 3), (243, 242, 245), np.uint8)
    slide[:, : int(WIDTH * share)] = pixels[:, : int(WIDTH * share)]
    return slide


def reason_for(pixels: Pixels, levels: int = 1) -> str:
    slide = ArraySlide(pyramid(pixels, levels))
    return find_other_stain(measure_places(slide, frame_of(slide)))


@pytest.mark.parametrize("levels", [1, 4])
@pytest.mark.parametrize("share", [1.0, 0.3, 0.1])
def test_stained_tissue_passes(share: float, levels: int) -> None:
    assert reason_for(on_glass(TISSUE, share), levels) == ""
    assert reason_for(on_glass((TISSUE * 0.6).astype(np.uint8), share), levels) == ""


@pytest.mark.parametrize("levels", [1, 4])
@pytest.mark.parametrize("share", [1.0, 0.3, 0.1])
def test_a_grey_slide_is_refused(share: float, levels: int) -> None:
    assert "grey" in reason_for(on_glass(grey(TISSUE), share), levels)


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_fluorescence_is_refused(strength: float) -> None:
    assert "near black" in reason_for(fluorescence(strength))


@pytest.mark.parametrize("value", [0, 16, 128, 243, 255])
def test_what_shows_nothing_is_not_refused(value: int) -> None:
    assert reason_for(np.full((HEIGHT, WIDTH, 3), value, np.uint8)) == ""


def test_dust_on_glass_is_no_grey_slide() -> None:
    glass = np.full((HEIGHT, WIDTH, 3), 243, np.uint8)
    glass[400:440, 600:650] = 60
    assert reason_for(glass) == ""


def test_areas_that_the_scanner_left_black_do_not_make_fluorescence() -> None:
    slide = on_glass(TISSUE, 0.35)
    slide[:, int(WIDTH * 0.4) :] = 0
    assert reason_for(slide) == ""


def test_noise_has_colour() -> None:
    assert reason_for(np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)) == ""


@pytest.mark.parametrize("shape", [(1, 1), (1, 400), (3, 3)])
def test_the_smallest_slides_are_looked_at(shape: tuple[int, int]) -> None:
    assert reason_for(texture(*shape)) == ""


def test_places_that_cannot_be_read_are_left_out() -> None:
    slide = ArraySlide([on_glass(grey(TISSUE), 0.5)], unreadable=[Box(0, 0, HEIGHT, 800)])
    assert find_other_stain(measure_places(slide, frame_of(slide))) == ""
    lost = ArraySlide([TISSUE], unreadable=[Box(0, 0, HEIGHT, WIDTH)])
    assert find_other_stain(measure_places(lost, frame_of(lost))) == ""


def test_a_jpeg_that_is_grey_is_refused_with_the_way_out(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "grey.svs", grey(TISSUE), compression="jpeg")
    with open_slide(tmp_path / "grey.svs") as slide:
        frame = frame_of(ArraySlide([TISSUE]))
        with pytest.raises(UnsupportedSlideError, match=r"grey\.svs: it is grey.*; pass --any-stain"):
            refuse_other_stains(slide, frame)


def test_real_slides_pass(example_slide: Path, shared_data: Path) -> None:
    for path in (
        example_slide,
        shared_data / "slides" / "kidney-48-5.tif",
        shared_data / "slides" / "ezwsi_camelyon.dcm",
    ):
        with open_slide(path, mpp=0.5) as slide:
            frame = frame_of(
                ArraySlide([np.zeros((slide.levels[0].height, slide.levels[0].width, 3), np.uint8)], mpp=0.5)
            )
            assert find_other_stain(measure_places(slide, frame)) == ""
