"""fit_domain: what is like the training slides is inside, however cases differ; IHC, EM and other colours are not."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from models import load_model
from scanner.labels.fields import LabelledField, read_fields, read_figures
from scanner.settings import ScanSettings
from scanner.slides import open_slide
from scanner.survey.appearance import STATISTICS
from scanner.survey.domain import DomainCheck, measure_distance
from scanner.survey.survey import survey_slide
from scanner.training.domain import (
    MOST_OUTSIDE,
    Appearances,
    distances_left_out,
    domain_of,
    fit_domain,
    measure_fields,
)
from tests.factories.slides import texture


def drawn(seed: int, cases: int = 6, each: int = 8) -> Appearances:
    """Cases that differ more from one another than their fields do."""
    rng = np.random.default_rng(seed)
    means = rng.normal(-0.5, 0.3, (cases, len(STATISTICS)))
    logs = np.concatenate([rng.normal(mean, 0.1, (each, len(STATISTICS))) for mean in means])
    return Appearances(logs, tuple(f"case {index // each}" for index in range(cases * each)))


@given(st.integers(0, 1000), st.permutations(range(48)))
def test_the_domain_does_not_depend_on_the_order_of_fields(seed: int, order: list[int]) -> None:
    found = drawn(seed)
    shuffled = Appearances(found.logs[order], tuple(found.groups[index] for index in order))
    first, second = domain_of(found, limit=5.0), domain_of(shuffled, limit=5.0)
    np.testing.assert_allclose(first.correlation, second.correlation, atol=2e-4)
    np.testing.assert_allclose(first.mean, second.mean, atol=2e-4)


@given(st.integers(0, 1000))
def test_what_was_trained_on_is_nearer_than_when_it_is_left_out(seed: int) -> None:
    found = drawn(seed)
    domain = domain_of(found, limit=5.0)
    inside = [measure_distance(domain, logs) for logs in found.logs]
    assert np.median(inside) < np.median(distances_left_out(found))


@given(st.integers(0, 1000))
def test_a_case_of_many_fields_counts_like_one_of_few(seed: int) -> None:
    found = drawn(seed)
    repeated = Appearances(np.concatenate([found.logs, *[found.logs[:8]] * 9]), found.groups + found.groups[:8] * 9)
    np.testing.assert_allclose(domain_of(found, limit=5.0).mean, domain_of(repeated, limit=5.0).mean, atol=2e-4)


def write_field(folder: Path, case: str, seed: int) -> LabelledField:
    path = folder / f"{case}-{seed}.png"
    Image.fromarray(texture(160, 160, seed=seed)).save(path)
    return LabelledField(path, case, 0.25)


def test_few_cases_have_no_domain(tmp_path: Path) -> None:
    fields = [write_field(tmp_path, case, seed) for seed, case in enumerate("AB")]
    assert fit_domain(fields, mpp=0.25) is None
    fields += [write_field(tmp_path, case, seed) for seed, case in enumerate("CD", start=2)]
    domain = fit_domain(fields, mpp=0.25)
    assert domain is not None
    assert len(domain.mean) == len(STATISTICS)


def test_cut_outs_of_one_slide_are_one_and_their_figures_do_not_count(tmp_path: Path) -> None:
    fields = []
    for slide in "ABC":
        for seed in range(5):
            pixels = texture(128, 128, seed=seed)
            pixels[40:88, 40:88] = 20  # The figure, far darker than the rest.
            path = tmp_path / f"{slide}{seed}.png"
            Image.fromarray(pixels).save(path)
            fields.append(LabelledField(path, slide, 0.25, np.array([[63.5, 63.5]]), source=slide))
    domain = fit_domain(fields, mpp=0.25)
    plain = [write_field(tmp_path, case, 0) for case in "XYZ"]
    unmarked = fit_domain(plain, mpp=0.25)
    assert domain is not None
    assert unmarked is not None
    assert domain.mean[0] == pytest.approx(unmarked.mean[0], abs=0.05)


def test_real_fields_of_a_case_left_out_are_inside(shared_data: Path) -> None:
    fields = read_fields(shared_data / "mitos14", mpp=0.2275)[::12]
    figures = read_figures(shared_data / "amibr", mpp=0.25)
    found = measure_fields((*fields, *figures), mpp=0.25)
    is_field = np.array([group.startswith("H") for group in found.groups])
    domain = load_model("mitosis-1").card.domain
    assert domain is not None
    assert (distances_left_out(found)[is_field] > domain.limit).mean() <= MOST_OUTSIDE


@cache
def shipped_check(path: Path, mpp: float) -> DomainCheck:
    card = load_model("mitosis-1").card
    with open_slide(path, mpp) as slide:
        found = survey_slide(slide, card, ScanSettings(any_stain=True)).domain
    assert found is not None
    return found


def test_the_shipped_model_is_warned_of_by_an_ihc_picture_and_by_an_em_section(
    tmp_path: Path, shared_data: Path
) -> None:
    from skimage import data

    picture = data.immunohistochemistry()  # type: ignore[no-untyped-call]
    Image.fromarray(picture).save(tmp_path / "ihc.png")
    assert shipped_check(tmp_path / "ihc.png", 0.25).is_outside
    assert shipped_check(shared_data / "isbi12" / "image" / "17.png", 0.25).is_outside


@pytest.mark.parametrize("channels", [(1, 0, 2), (0, 2, 1), (1, 2, 0), (2, 0, 1)])
def test_a_recoloured_field_is_outside_and_as_it_was_inside(
    tmp_path: Path, shared_data: Path, channels: tuple[int, int, int]
) -> None:
    field = read_fields(shared_data / "mitos14", mpp=0.2275)[40]
    assert not shipped_check(field.path, field.mpp).is_outside
    Image.fromarray(np.ascontiguousarray(field.read()[..., channels])).save(tmp_path / "field.png")
    assert shipped_check(tmp_path / "field.png", field.mpp).is_outside
