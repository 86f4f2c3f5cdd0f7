"""The sweep over structures: what is taken from a file is what was written into it, or it is refused or noted."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from scanner.errors import SlideError, UnreadableRegionError
from scanner.slides import Slide, describe_file, open_slide
from scanner.slides.pixels.protocol import ImageInfo, ImageKind, Level
from tests.factories.slides import Pixels
from tests.factories.structures import LAYOUTS, OVERVIEW, TILE, Structure, Written, write

EXAMPLES = 540
#: What came of the examples: so that the sweep cannot pass by refusing everything.
OUTCOMES: Counter[str] = Counter()


@st.composite
def structures(draw: st.DrawFn) -> Structure:
    layout = draw(st.sampled_from(LAYOUTS))
    side = st.integers(100, 210)
    count = 1 if layout == "aperio" else draw(st.integers(1, 3))
    image = st.tuples(side, side, st.integers(1, 3))
    images = [draw(image) for _ in range(count)]
    is_padded = draw(st.booleans()) and draw(st.booleans())
    # Where the padding happens to keep the proportions, nothing in the file says that there is any.
    is_padded = is_padded and not any(is_proportional(height, width) for height, width, _ in images)
    if count > 1 and draw(st.booleans()):  # The next image has the size of the first one's level 1, or its own size.
        first = images[0]
        images[1] = (first[0] // 2, first[1] // 2, 1) if draw(st.booleans()) else (first[0], first[1], images[1][2])
    is_tiff = not layout.startswith("zarr")
    levels = images[0][2]
    lost = draw(st.none() | st.integers(0, levels - 1)) if is_tiff else None
    places = ["none", "behind"] if layout == "aperio" or lost is not None else ["none", "before", "behind"]
    return Structure(
        layout,
        tuple(images),
        draw(st.sampled_from([0.25, 0.499, 1.0, None])),
        draw(st.integers(0, 5)),
        draw(st.booleans()),
        is_padded,
        draw(st.sampled_from([0, 1])),
        draw(st.sampled_from(["none", "own", "same", "wrong"])),
        draw(st.sampled_from("<>")),
        draw(st.booleans()),
        draw(st.sampled_from(places)) if is_tiff else "none",
        lost,
    )


def is_proportional(height: int, width: int) -> bool:
    """Whether one downsample explains both sides of a level 1 that is filled up to whole tiles."""
    reduced = [-(-(side // 2) // TILE) * TILE for side in (height, width)]
    ranges = [(full / (small + 1), full / (small - 1)) for full, small in zip((height, width), reduced, strict=True)]
    return max(low for low, _ in ranges) <= min(high for _, high in ranges)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(structure=structures())
def test_what_is_taken_is_what_was_written(tmp_path: Path, structure: Structure) -> None:
    note(str(structure))
    path = tmp_path / ("slide.zarr" if structure.layout.startswith("zarr") else "slide.tif")
    shutil.rmtree(path, ignore_errors=True)
    check(path, structure, write(path, structure))


def test_the_sweep_is_no_row_of_refusals() -> None:
    if sum(OUTCOMES.values()) < EXAMPLES:
        pytest.skip("the sweep was not run before, in this process")
    assert OUTCOMES["as written"] > 0.6 * EXAMPLES, OUTCOMES


def check(path: Path, structure: Structure, written: list[Written]) -> None:
    """AssertionError if what is taken differs from what was written, and nothing says so."""
    contents = describe_file(path)
    left = list(range(len(written)))
    refused = False
    for image in contents.images:
        slide = open_or_refuse(path, structure, image)
        if slide is None:
            refused = True
            continue
        with slide:
            assert slide.levels == image.levels
            place = next((one for one in left if shows(slide, written[one])), None)
            if place is None:
                is_named = image.kind is ImageKind.OVERVIEW or is_overview(slide) or is_apart(slide, structure, written)
                assert is_named, f"{image} was not written so"
                continue
            left.remove(place)
            check_image(slide, structure, written[place], is_first=place == 0)
    assert not left or contents.notes or refused, f"{len(left)} images are gone without a word: {contents.images}"
    OUTCOMES["refused" if refused else "noted" if contents.notes else "as written"] += 1


def open_or_refuse(path: Path, structure: Structure, image: ImageInfo) -> Slide | None:
    """An image of the file, with an mpp where it needs one; None if it is refused as it may be."""
    is_silent = structure.mpp is None or image.kind is ImageKind.OVERVIEW
    if image.problem and image.kind is ImageKind.IMAGE:
        with pytest.raises(SlideError):  # A problem is told before the work is begun.
            open_slide(path, image=image.index).close()
    try:
        return open_slide(path, mpp=0.25 if is_silent else None, image=image.index)
    except SlideError:
        if not may_be_refused(structure):
            raise
        return None


def may_be_refused(structure: Structure) -> bool:
    """Whether a refusal is right: pages of full size that repeat, without a word of what they are."""
    sizes = [image[:2] for image in structure.images]
    return structure.layout in ("chain", "sub") and len(set(sizes)) < len(sizes)


def shows(slide: Slide, written: Written) -> bool:
    """Whether the slide's level 0 is that image, told by a corner where no tile is lost."""
    level = slide.levels[0]
    if (level.height, level.width) != written.size:
        return False
    box = (level.height - 16, level.width - 16, level.height, level.width)
    try:
        return np.array_equal(slide.read(0, box), written.levels[0][-16:, -16:])
    except UnreadableRegionError:
        return True  # A level of one tile, which is lost.


def is_apart(slide: Slide, structure: Structure, written: list[Written]) -> bool:
    """Whether the slide is a level that nothing in the file calls one: an image of its own then, which is named."""
    levels = [level for image in written for level in image.levels[1:]]
    return says_no_levels(structure) and any(shows(slide, Written((level,), None)) for level in levels)


def says_no_levels(structure: Structure) -> bool:
    """Whether nothing but what they show tells levels from images, or what says so contradicts itself."""
    return (structure.layout == "aperio" and structure.is_padded) or (structure.layout, structure.flag) == ("chain", 0)


def is_overview(slide: Slide) -> bool:
    return shows(slide, Written((OVERVIEW,), None))


def check_image(slide: Slide, structure: Structure, written: Written, *, is_first: bool) -> None:
    if structure.mpp is not None:
        assert slide.mpp == pytest.approx(structure.mpp, rel=1e-3)
        assert slide.mpp_source not in ("assumed", "override")
    for index, level in enumerate(slide.levels):
        place = place_of(level, structure, written)
        true = 2**place
        assert level.downsample == pytest.approx(true, rel=1.5 / min(level.height, level.width)), level
        lost = is_first and structure.lost == place
        pixels = written.levels[place][: level.height, : level.width]
        check_pixels(slide, index, level, pixels, is_lost=lost)
    is_whole = len(slide.levels) == len(written.levels) or says_no_levels(structure)
    assert is_whole or slide.notes, "a level is gone without a word"


def place_of(level: Level, structure: Structure, written: Written) -> int:
    """Which of the written levels it is: of its size, or filled up from it to whole tiles."""
    size = level.height, level.width
    for place, pixels in enumerate(written.levels):
        halved = [(side // 2**place, -(-side // 2**place)) for side in written.size]
        is_filled_up = (
            structure.is_padded and place and all(side in two for side, two in zip(size, halved, strict=True))
        )
        if size == pixels.shape[:2] or is_filled_up:
            return place
    raise AssertionError(f"level {level} was not written")


def check_pixels(slide: Slide, index: int, level: Level, pixels: Pixels, *, is_lost: bool) -> None:
    whole = (0, 0, level.height, level.width)
    if not is_lost:
        np.testing.assert_array_equal(slide.read(index, whole), pixels)
        return
    tile = pixels[:TILE, :TILE]
    if level.width > TILE:
        np.testing.assert_array_equal(slide.read(index, (0, TILE, level.height, level.width)), pixels[:, TILE:])
    if index == 0:
        with pytest.raises(UnreadableRegionError):
            slide.read(index, whole)
        return
    drawn = slide.read(index, (0, 0, *tile.shape[:2])).astype(int)
    assert np.abs(drawn - tile).mean() < 12, "a lost tile is not drawn from the finer level"
