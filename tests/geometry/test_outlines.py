"""Laws of outlines: what crosses itself is found, what does not is not, by the slow and obvious comparison."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from scanner.geometry.outlines import LARGEST, find_crossing, is_straight

Place = tuple[int, int]


def turn(first: Place, second: Place, third: Place) -> int:
    value = (second[0] - first[0]) * (third[1] - first[1]) - (second[1] - first[1]) * (third[0] - first[0])
    return (value > 0) - (value < 0)


def is_between(first: Place, second: Place, place: Place) -> bool:
    """Whether a place of the line through two others lies between them, or is one."""
    return all(min(a, b) <= c <= max(a, b) for a, b, c in zip(first, second, place, strict=True))


def meet(one: tuple[Place, Place], other: tuple[Place, Place]) -> bool:
    """Whether two sides share a place: by the four turns, with whole numbers of any size."""
    (a, b), (c, d) = one, other
    turns = turn(a, b, c), turn(a, b, d), turn(c, d, a), turn(c, d, b)
    if turns[0] != turns[1] and turns[2] != turns[3]:
        return True
    ends = ((a, b, c), (a, b, d), (c, d, a), (c, d, b))
    return any(way == 0 and is_between(*end) for way, end in zip(turns, ends, strict=True))


def is_simple(corners: list[Place]) -> bool:
    count = len(corners)
    sides = [(corners[index], corners[(index + 1) % count]) for index in range(count)]
    for first, second in combinations(range(count), 2):
        (a, b), (c, d) = sides[first], sides[second]
        if second - first == 1 or (first, second) == (0, count - 1):
            shared, one, other = (b, a, d) if second - first == 1 else (a, b, c)
            if turn(one, shared, other) == 0 and (is_between(one, shared, other) or is_between(shared, other, one)):
                return False
        elif meet(sides[first], sides[second]):
            return False
    return True


SMALL = st.tuples(st.integers(0, 6), st.integers(0, 6))
LARGE = st.tuples(st.integers(0, LARGEST), st.integers(0, LARGEST))


@given(st.one_of(st.lists(SMALL, min_size=3, max_size=9), st.lists(LARGE, min_size=3, max_size=6)))
def test_a_crossing_is_found_where_two_sides_meet(corners: list[Place]) -> None:
    assume(all(corners[index] != corners[index - 1] for index in range(len(corners))))
    found = find_crossing(np.array(corners, np.int64))
    assert (found is None) == is_simple(corners)
    if found is not None:
        assert 0 <= found[0] < found[1] < len(corners)


@given(st.lists(st.integers(100, 10**6), min_size=3, max_size=60), st.floats(0, 7))
def test_an_outline_around_a_point_is_simple(radii: list[int], start: float) -> None:
    turns = start + 2 * math.pi * np.arange(len(radii)) / len(radii)
    corners = np.rint(10**6 + np.array(radii)[:, None] * np.stack([np.cos(turns), np.sin(turns)], axis=1))
    assert is_simple([(int(x), int(y)) for x, y in corners]) == (find_crossing(corners.astype(np.int64)) is None)


@pytest.mark.parametrize(
    ("corners", "expected"),
    [
        ([(0, 0), (4, 0), (4, 4), (0, 4)], None),
        ([(0, 0), (1, 0), (1, 1), (2, 1), (2, 0), (3, 0), (3, 2), (0, 2)], None),  # two sides on one line
        ([(0, 0), (4, 4), (4, 0), (0, 4)], (0, 2)),
        ([(0, 0), (4, 0), (2, 0), (2, 4)], (0, 1)),  # turns back
        ([(0, 0), (4, 0), (4, 4), (2, 0), (0, 4)], (0, 2)),  # touches its first side
        ([(0, 0), (LARGEST, LARGEST - 1), (LARGEST, LARGEST), (1, 1)], None),
        ([(0, 0), (LARGEST, LARGEST - 1), (LARGEST, LARGEST), (1, 0)], (0, 2)),
    ],
)
def test_sides_are_named(corners: list[Place], expected: tuple[int, int] | None) -> None:
    assert find_crossing(np.array(corners, np.int64)) == expected


@given(SMALL, SMALL, st.lists(st.integers(-5, 5), max_size=5))
def test_corners_on_one_line_are_straight(start: Place, step: Place, multiples: list[int]) -> None:
    assume(step != (0, 0))
    line = [start, *((start[0] + by * step[0], start[1] + by * step[1]) for by in (1, *multiples))]
    assert is_straight(np.array(line, np.int64))
    beside = (start[0] - step[1], start[1] + step[0])
    assert not is_straight(np.array([*line, beside], np.int64))
