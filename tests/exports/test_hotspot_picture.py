from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scanner.detections.hotspots import Hotspot
from scanner.exports.hotspot_picture import draw_hotspot, write_hotspot_pictures
from scanner.exports.marks import BORDER_COLOUR, DETECTION_COLOUR, HOTSPOT_COLOUR, UNREADABLE_COLOUR, Colour
from scanner.geometry.frames import Box
from scanner.geometry.windows import Shape
from scanner.result import ScanResult
from tests.factories.array_slide import ArraySlide


def hotspot(box: Box, shape: Shape = Shape.BOX) -> Hotspot:
    return Hotspot(box, 0.04, 0.03, 1, 25.0, 33.3, shape)


def painted(picture: Image.Image, colour: Colour) -> np.ndarray:
    """(n, 2): row and column of the pixels of exactly that colour, above the legend."""
    slide_part = np.asarray(picture)[: picture.height - 90]
    return np.argwhere((slide_part == colour).all(axis=-1))


def test_the_window_and_its_detections_lie_where_they_are(result: ScanResult, slide: ArraySlide) -> None:
    # 416 x 416 px are shown, twice as large.
    picture = draw_hotspot(hotspot(Box(50, 200, 450, 600)), result, slide, title="a")
    window = painted(picture, HOTSPOT_COLOUR)
    np.testing.assert_allclose(window.min(axis=0), (16, 16), atol=2)
    np.testing.assert_allclose(window.max(axis=0), (816, 816), atol=2)
    rings = painted(picture, DETECTION_COLOUR)
    first = rings[rings[:, 1] < 500]
    np.testing.assert_allclose(first.mean(axis=0), ((200.5 - 42) * 2, (300.5 - 192) * 2), atol=2)
    assert len(painted(picture, BORDER_COLOUR)) == 0


def test_large_windows_fit_into_the_picture(result: ScanResult, slide: ArraySlide) -> None:
    picture = draw_hotspot(hotspot(Box(0, 0, 600, 900), Shape.CIRCLE), result, slide, title="a")
    assert picture.width == 900
    assert len(painted(picture, BORDER_COLOUR)) > 0


def test_what_could_not_be_read_does_not_look_like_glass(result: ScanResult, slide: ArraySlide) -> None:
    # Rows 384 to 512 and columns 128 to 256 of the slide; the picture starts at (346, 96) and is four times as large.
    def hatched(shown: ScanResult) -> np.ndarray:
        places = painted(draw_hotspot(hotspot(Box(350, 100, 550, 300)), shown, slide, title="a"), UNREADABLE_COLOUR)
        return places[places[:, 0] < 208 * 4]  # Below is the legend.

    assert hatched(result).min(axis=0) == pytest.approx(((384 - 346) * 4, (128 - 96) * 4), abs=4)
    assert hatched(result).max(axis=0) == pytest.approx(((512 - 346) * 4, (256 - 96) * 4), abs=4)
    assert len(hatched(replace(result, unreadable=()))) == 0


def test_pictures_of_an_earlier_scan_go(tmp_path: Path, result: ScanResult, slide: ArraySlide) -> None:
    three = replace(result, hotspots=(result.hotspots[0],) * 3)
    assert list(write_hotspot_pictures(tmp_path, three, slide)) == ["hotspot-1", "hotspot-2", "hotspot-3"]
    assert len(list(tmp_path.glob("hotspot-?.png"))) == 3
    write_hotspot_pictures(tmp_path, result, slide)
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["hotspot-1.png"]
