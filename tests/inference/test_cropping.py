"""A tile without what lies beyond the tissue scores every px that is scanned, and nothing else is missed."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.geometry.frames import Box, plan_frame
from scanner.geometry.tiles import plan_tiles
from scanner.inference.cropping import UNITS, WORTH_CUTTING, crop_to_tissue, paste_back
from scanner.survey.tissue import TissueMask

CONTEXT_PX = 21


@settings(max_examples=60, deadline=None)
@given(
    side=st.integers(8, 120),
    stride=st.sampled_from([1, 2, 4]),
    alignment=st.sampled_from([1, 4]),
    cells=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 5)), min_size=1, max_size=6),
)
def test_all_that_is_scanned_lies_within_the_narrowed_tiles(
    side: int, stride: int, alignment: int, cells: list[tuple[int, int]]
) -> None:
    frame = plan_frame((7 * 32, 6 * 32), 0.25, 0.25, stride)
    mask = np.zeros((7, 6), np.bool_)
    mask[tuple(zip(*cells, strict=True))] = True
    tissue = TissueMask(mask, mask, 8.0, frame)
    side = -(-side // (alignment * stride)) * alignment * stride
    covered = np.zeros((frame.map_height, frame.map_width), np.bool_)
    for tile in plan_tiles(frame, CONTEXT_PX, side):
        if not tissue.any_in(tile.write):
            continue
        parts = crop_to_tissue(tile, tissue, context_px=CONTEXT_PX, alignment=alignment)
        times = np.zeros_like(covered, np.intp)
        for part in parts:
            assert part.index == tile.index
            assert part.write == part.write.clipped(*tile.write[2:])
            assert part.write.top >= tile.write.top
            assert part.write.left >= tile.write.left
            assert part.write.top % alignment == part.write.left % alignment == 0
            # Halo included, what is read is what the outputs see.
            assert part.read.height == (part.write.height - 1) * stride + CONTEXT_PX
            times[part.write.slices()] += 1
        assert times.max() == 1
        # A tile is cut where less is read so, and never to read more.
        least = min(part.read.top for part in parts), min(part.read.left for part in parts)
        most = max(part.read.bottom for part in parts), max(part.read.right for part in parts)
        around = (most[0] - least[0]) * (most[1] - least[1])
        assert len(parts) == 1 or sum(part.read.area for part in parts) <= WORTH_CUTTING * around
        ones = [(np.ones((2, part.write.height, part.write.width), np.float32), part.write) for part in parts]
        values = paste_back(ones, tile.write, layers=2)
        assert values.shape == (2, tile.write.height, tile.write.width)
        covered[tile.write.slices()] = values.all(axis=0)
    whole = Box(0, 0, frame.map_height, frame.map_width)
    assert not (tissue.values_for(whole) & ~covered).any()


def test_few_shapes_come_of_many_masks() -> None:
    frame = plan_frame((1024, 1024), 0.25, 0.25, 1)
    (tile,) = plan_tiles(frame, CONTEXT_PX, 1024)
    shapes = set()
    for index in range(32):
        mask = np.zeros((32, 32), np.bool_)
        mask[: index + 1, :3] = True
        (part,) = crop_to_tissue(tile, TissueMask(mask, mask, 8.0, frame), context_px=CONTEXT_PX, alignment=1)
        shapes.add(part.write)
    assert len(shapes) <= UNITS


def test_islands_far_apart_are_read_one_by_one() -> None:
    frame = plan_frame((1024, 1024), 0.25, 0.25, 1)
    (tile,) = plan_tiles(frame, CONTEXT_PX, 1024)
    mask = np.zeros((32, 32), np.bool_)
    mask[1, 2] = mask[30, 29] = True
    parts = crop_to_tissue(tile, TissueMask(mask, mask, 8.0, frame), context_px=CONTEXT_PX, alignment=1)
    assert [part.write for part in parts] == [Box(0, 64, 64, 128), Box(960, 896, 1024, 960)]
