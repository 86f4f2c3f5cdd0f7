"""Laws of regions: a drawing keeps its meaning, what is none is refused by its corner, masks count as QuPath does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.geometry.areas import areas_from_geojson
from scanner.geometry.frames import Frame
from scanner.survey.masks import holds_cell, restrict
from scanner.survey.tissue import full_tissue
from service.slides_in.region import BadRegionError, Region, describe_region, geometry_of, region_from_ring, write_mask

WIDTH, HEIGHT = 400, 300


def box(left: float, top: float, right: float, bottom: float) -> list[list[float]]:
    return [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]


def region_of(ring: list[list[float]]) -> Region:
    return region_from_ring(ring, width=WIDTH, height=HEIGHT)


@given(st.floats(0, 199), st.floats(0, 149), st.floats(200, WIDTH), st.floats(150, HEIGHT))
def test_a_region_that_was_answered_is_the_same_region(left: float, top: float, right: float, bottom: float) -> None:
    region = region_of(box(left, top, right, bottom))
    (ring,) = geometry_of(region)["coordinates"]
    assert ring[0] == ring[-1]
    assert region_of(json.loads(json.dumps(ring))) == region
    repeated = [corner for corner in ring for _ in range(2)]
    assert region_of(repeated) == region, "a corner that was clicked twice is one"


@pytest.mark.parametrize(
    ("ring", "words"),
    [
        (box(0, 0, 9, 9)[:-1], r"not closed: repeat its first corner \(0.0, 0.0\)"),
        ([*box(0, 0, 9, 9)[:3], [0, 0.001]], "not closed"),
        (box(10, 10, 400.001, 20), r"corner 2 at \(400.001, 10.0\) lies off the slide, which has 400 x 300 px"),
        (box(10, -1, 20, 20), r"corner 1 at \(10.0, -1.0\) lies off the slide"),
        (box(5, 5, 5, 5), "encloses nothing"),
        ([[0, 0], [9, 9], [4, 4], [0, 0]], "encloses nothing"),
        (box(5, 5, 5.0001, 80), "encloses nothing"),
        ([[0, 0], [9, 9], [9, 0], [0, 9], [0, 0]], r"meets itself: the side \(0.0, 0.0\) to \(9.0, 9.0\) and the side"),
    ],
)
def test_what_is_no_region_is_refused_by_its_corner(ring: list[list[float]], words: str) -> None:
    with pytest.raises(BadRegionError, match=words):
        region_of(ring)


def test_the_slides_own_border_is_on_the_slide() -> None:
    assert region_of(box(0, 0, WIDTH, HEIGHT)) == ((0, 0), (WIDTH, 0), (WIDTH, HEIGHT), (0, HEIGHT))
    assert describe_region(region_of(box(0, 0, WIDTH, 12.5))) == "x 0 to 400, y 0 to 12.5 px, 4 corners"


@given(
    st.lists(st.integers(0, WIDTH), min_size=2, max_size=2, unique=True).map(sorted),
    st.lists(st.integers(0, HEIGHT), min_size=2, max_size=2, unique=True).map(sorted),
    st.tuples(st.integers(0, 90), st.integers(0, 90)),
)
def test_a_mask_covers_the_region_whatever_it_counts_from(
    tmp_path_factory: pytest.TempPathFactory, columns: list[int], rows: list[int], origin: tuple[int, int]
) -> None:
    region = region_of(box(columns[0], rows[0], columns[1], rows[1]))
    path = write_mask(tmp_path_factory.mktemp("mask"), region, origin=origin)
    assert path is not None
    frame = Frame(HEIGHT, WIDTH, level0_mpp=1.0, grid_mpp=1.0, stride=1)
    (ring,) = areas_from_geojson(path.read_bytes(), path)[0].polygons[0]
    if not holds_cell(ring + origin, frame):
        return
    covered = restrict(full_tissue(frame), path, origin=origin).values
    for row, col in ((row, col) for row in range(covered.shape[0]) for col in range(covered.shape[1])):
        y, x = (8 * row + min(8 * row + 8, HEIGHT)) / 2, (8 * col + min(8 * col + 8, WIDTH)) / 2
        assert covered[row, col] == (columns[0] <= x < columns[1] and rows[0] <= y < rows[1])


def test_without_a_region_there_is_no_mask(tmp_path: Path) -> None:
    assert write_mask(tmp_path, (), origin=(0, 0)) is None
    assert list(tmp_path.iterdir()) == []
