from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scanner.labels.targets import IGNORED, make_targets, output_centres

COORDINATE = st.floats(-40, 140)


@given(st.lists(st.tuples(COORDINATE, COORDINATE), max_size=5))
def test_targets_follow_the_distance_to_the_nearest_figure(points):
    points = np.array(points, dtype=np.float64).reshape(-1, 2)
    centres = output_centres(3, patch_size=86, stride=8)
    targets = make_targets(points, centres, positive_px=10, ignored_px=27)
    for row, target_row in zip(centres, targets, strict=True):
        for col, target in zip(centres, target_row, strict=True):
            distance = min((float(np.hypot(row - r, col - c)) for r, c in points), default=np.inf)
            assert target == (1 if distance <= 10 else IGNORED if distance <= 27 else 0)


def test_outputs_look_at_the_centres_of_their_patches():
    np.testing.assert_array_equal(output_centres(3, patch_size=101, stride=16), [50, 66, 82])
