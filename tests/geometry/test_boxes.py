"""Boxes cut in two cover what they covered, once, and are cut on the lattice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scanner.geometry.frames import Box


@given(
    st.tuples(st.integers(0, 70), st.integers(0, 70)),
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.integers(1, 16),
)
def test_halves_share_a_box_out_on_the_lattice(corner: tuple[int, int], sides: tuple[int, int], unit: int) -> None:
    box = Box(*corner, corner[0] + sides[0], corner[1] + sides[1])
    first, last = (box.top, box.bottom) if box.height >= box.width else (box.left, box.right)
    halves = box.halves(unit)
    if not halves:
        assert not any(cut % unit == 0 for cut in range(first + 1, last))
        return
    one, other = halves
    assert one.area + other.area == box.area
    assert one.area > 0 < other.area
    if box.height >= box.width:
        assert box == Box(one.top, one.left, other.bottom, other.right)
        cut = one.bottom
        assert cut == other.top
    else:
        assert box == Box(one.top, one.left, one.bottom, other.right)
        cut = one.right
        assert cut == other.left
    assert cut % unit == 0
    assert abs(2 * cut - first - last) <= 2 * unit
