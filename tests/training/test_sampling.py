from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scanner.labels.fields import read_fields, read_figures
from scanner.training.sampling import Place, draw_places, make_pools


def pools_of(data_folder):
    fields = read_fields(data_folder / "fields", mpp=0.25)
    sizes = dict.fromkeys(range(len(fields)), (96, 96))
    return fields, make_pools(fields + read_figures(data_folder / "cutouts", mpp=0.25), sizes)


def test_every_label_is_in_one_pool(data_folder):
    fields, pools = pools_of(data_folder)
    assert len(pools.places["figures"]) == sum(len(one.points) for one in fields)
    assert len(pools.places["disputed"]) == sum(len(one.disputed) for one in fields)
    assert len(pools.places["cutouts"]) == 6
    assert not pools.places["mined"]


@given(seed=st.integers(0, 2**32), count=st.integers(1, 80))
def test_a_batch_has_its_shares_to_within_one_place(data_folder, seed, count):
    _, pools = pools_of(data_folder)
    shares = {"figures": 0.3, "cutouts": 0.2, "tissue": 0.5}
    drawn = draw_places(pools, shares, count=count, rng=np.random.default_rng(seed))
    known = {place: name for name in ("figures", "cutouts") for place in pools.places[name]}
    counts = Counter(known.get(place, "tissue") for place in drawn)
    assert counts.total() == count
    for name, share in shares.items():
        assert abs(counts[name] - share * count) <= 1 + 1e-9


def test_an_empty_pool_gives_its_share_to_tissue(data_folder):
    _, pools = pools_of(data_folder)
    drawn = draw_places(pools, {"mined": 1.0}, count=20, rng=np.random.default_rng(0))
    assert all(0 <= place.row <= 95 and 0 <= place.col <= 95 for place in drawn)


def test_tissue_is_never_drawn_from_a_cutout(data_folder):
    fields, pools = pools_of(data_folder)
    drawn = draw_places(pools, {"tissue": 1.0}, count=200, rng=np.random.default_rng(0))
    assert max(place.field for place in drawn) < len(fields)


def test_mined_places_are_drawn(data_folder):
    _, pools = pools_of(data_folder)
    mined = (Place(0, 1.0, 2.0),)
    drawn = draw_places(pools.with_mined(mined), {"mined": 1.0}, count=3, rng=np.random.default_rng(0))
    assert drawn == [*mined] * 3
