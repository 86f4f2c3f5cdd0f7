from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.normalisation import Normalisation, NormalisationKind, StainStatistics
from models.optical_density import OPTICAL_DENSITY
from models.pixel_tables import apply_table, normalisation_table
from scanner.labels.fields import read_fields, read_figures
from scanner.training.augment import change_stain, draw_stain_change, normalise
from scanner.training.recipe import Augmentation
from scanner.training.stain import Stain, exchange_matrix, measure_stain, measure_stains, mix_stains
from tests.training.data_folder import draw_field

CALM = Augmentation(mixing=0, shift=0, statistics=0)


def stain_of(seed: int) -> Stain:
    rng = np.random.default_rng(seed)
    root = rng.normal(0, 0.1, (3, 6))
    return Stain(rng.uniform(0.1, 0.4, 3), root @ root.T + 1e-3 * np.eye(3))


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_an_exchange_gives_the_other_covariance(first, second):
    source, target = stain_of(first), stain_of(second)
    matrix = exchange_matrix(source, target)
    np.testing.assert_allclose(matrix @ source.covariance @ matrix.T, target.covariance, atol=1e-9)


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_statistics_after_an_exchange_are_those_of_the_other_stain(first, second):
    target = stain_of(second)
    change = draw_stain_change(stain_of(first), target, CALM, np.random.default_rng(0))
    np.testing.assert_allclose(change.mean, target.mean, atol=1e-9)
    np.testing.assert_allclose(change.std, target.std, atol=1e-9)


def test_without_a_change_the_input_is_that_of_a_scan():
    pixels = draw_field([(20, 20)], 0)[None]
    stain = measure_stain(pixels[0], mpp=0.25)
    change = draw_stain_change(stain, None, CALM, np.random.default_rng(0))
    statistics = StainStatistics(tuple(stain.mean.tolist()), tuple(stain.std.tolist()))
    table = normalisation_table(Normalisation(NormalisationKind.STAIN), statistics)
    torch.testing.assert_close(
        normalise(pixels, [change]), apply_table(torch.from_numpy(pixels), table), rtol=1e-5, atol=1e-5
    )


def test_a_change_of_stain_moves_what_is_measured_as_it_says():
    pixels = draw_field([(20, 20)], 0)
    settings = Augmentation(mixing=0.04, shift=0.1, statistics=0)
    change = draw_stain_change(measure_stain(pixels, mpp=0.25), None, settings, np.random.default_rng(3))
    images = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    changed = change_stain(images, [change])[0].permute(1, 2, 0).numpy()
    density = -np.log10((changed[::4, ::4] + 1) / 256).reshape(-1, 3)
    # Grey levels end at 0 and 255, which a linear map of densities does not know.
    np.testing.assert_allclose(density.mean(axis=0), change.mean, atol=0.01)
    np.testing.assert_allclose(density.std(axis=0), change.std, atol=0.01)


def test_a_mixture_of_stains_is_measured_as_one_area():
    rng = np.random.default_rng(0)
    parts = [rng.integers(40, 200, (40, 40, 3)).astype(np.uint8) // (1 + k) for k in range(3)]
    together = OPTICAL_DENSITY[np.concatenate(parts)].reshape(-1, 3)
    stains = [Stain(d.mean(axis=0), np.cov(d, rowvar=False, bias=True)) for d in np.split(together, 3)]
    mixed = mix_stains(stains)
    np.testing.assert_allclose(mixed.mean, together.mean(axis=0))
    np.testing.assert_allclose(mixed.covariance, np.cov(together, rowvar=False, bias=True))


def test_the_figure_in_a_cutout_does_not_count_for_its_stain():
    empty, full = draw_field([], 1), draw_field([(48, 48)], 1)
    rim = np.array([[48.0, 48.0]])
    np.testing.assert_array_equal(
        measure_stain(full, mpp=0.25, without=rim).mean, measure_stain(empty, mpp=0.25, without=rim).mean
    )
    assert (measure_stain(full, mpp=0.25).mean > measure_stain(empty, mpp=0.25).mean).all()


def test_cutouts_share_the_stain_of_slide_or_scanner(data_folder):
    fields = read_fields(data_folder / "fields", mpp=0.25) + read_figures(data_folder / "cutouts", mpp=0.25)
    book = measure_stains(fields)
    assert len(book.fields) == len(book.cases) == len(fields)
    assert all(book.fields[index] is book.cases[index] for index, one in enumerate(fields) if one.source)
    assert book.cases[0] is book.cases[1]  # both of case A
