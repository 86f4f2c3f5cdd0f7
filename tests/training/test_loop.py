from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from models import load_folds, load_model
from models.families import build_network
from scanner.errors import SettingsError
from scanner.labels.fields import read_field
from scanner.training.batches import make_batch
from scanner.training.loop import TrainSettings, learning_rate, run_training, start_training
from scanner.training.loss import apply_convolutionally
from scanner.training.mining import mine
from scanner.training.scoring import fold_normalisation
from scanner.training.train import load_training_set, train


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make_state(recipe, data_folder):
    torch.manual_seed(recipe.seed)
    return start_training(
        build_network(recipe.architecture, recipe.arguments), load_training_set(recipe, data_folder), recipe
    )


def test_a_batch_depends_on_seed_and_step_alone(data_folder, small_recipe):
    training_set = load_training_set(small_recipe, data_folder)
    first, again, other = (make_batch(training_set, small_recipe, step) for step in (3, 3, 4))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert not torch.equal(first[0], other[0])
    assert first[0].shape == (12, 3, 30, 30)
    assert first[1].shape == (12, 3, 3)


def test_a_case_held_out_is_not_trained_on(data_folder, small_recipe):
    training_set = load_training_set(small_recipe, data_folder)
    assert "C" not in {one.case for one in training_set.fields}


def test_a_scanner_held_out_is_not_trained_on(data_folder, small_recipe):
    assert "scanner" in {one.source for one in load_training_set(small_recipe, data_folder).fields}
    training_set = load_training_set(replace(small_recipe, held_out=("C", "scanner")), data_folder)
    assert {one.source for one in training_set.fields} == {""}


def test_twins_are_held_out_with_their_case_and_with_their_scanner(data_folder, small_recipe):
    # The fields of the folder are taken for twins of themselves.
    twins = {"twins_scanner": "second", "twin_fields": "fields", "twins_mpp": 0.25}
    cases = {}
    for held_out in (("C",), ("C", "second")):
        recipe = replace(small_recipe, held_out=held_out, **twins)
        fields = load_training_set(recipe, data_folder).fields
        cases[held_out] = sorted(one.case for one in fields if not one.source)
    assert cases == {("C",): ["A", "A", "A", "A", "B", "B"], ("C", "second"): ["A", "A", "B"]}


def test_what_cannot_be_held_out_is_refused_by_name(data_folder, small_recipe):
    with pytest.raises(SettingsError, match=r"case Z; cases: A, B, C; scanners of cut-outs: scanner"):
        load_training_set(replace(small_recipe, held_out=("Z",)), data_folder)


def test_a_resumed_training_ends_where_an_unbroken_one_does(data_folder, small_recipe, tmp_path):
    recipe = replace(small_recipe, steps=8)
    unbroken = run_training(make_state(recipe, data_folder), recipe)
    settings = TrainSettings(checkpoint=tmp_path / "state.ckpt", checkpoint_every=2, report_every=1)
    stopped = make_state(recipe, data_folder)

    class Stopped(Exception):  # noqa: N818  # not an error: the plug is pulled
        pass

    def pull_the_plug(progress):
        if progress.step == 6:
            raise Stopped

    with pytest.raises(Stopped):
        run_training(stopped, recipe, settings=settings, on_progress=pull_the_plug)
    resumed = run_training(make_state(recipe, data_folder), recipe, settings=settings)
    for (name, one), two in zip(unbroken.state_dict().items(), resumed.state_dict().values(), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0, msg=lambda text, name=name: f"{name}: {text}")


def test_the_learning_rate_rises_and_falls(small_recipe):
    recipe = replace(small_recipe, steps=100, warmup=0.1, learning_rate=1.0)
    rates = [learning_rate(recipe, step) for step in range(100)]
    assert max(rates) == pytest.approx(1.0)
    assert (np.diff(rates[:10]) > 0).all()
    assert (np.diff(rates[10:]) < 0).all()
    assert rates[-1] < 0.001


def test_mined_places_are_no_labels(data_folder, small_recipe):
    training_set = load_training_set(small_recipe, data_folder)
    net = build_network(small_recipe.architecture, small_recipe.arguments)
    mined = mine(net, training_set, small_recipe)
    assert mined
    for place in mined:
        field = training_set.fields[place.field]
        assert not field.source
        known = np.concatenate([field.points, field.disputed])
        distance = np.linalg.norm(known - (place.row, place.col), axis=1)
        assert distance.min(initial=np.inf) * field.mpp > small_recipe.ignored_um
        assert 0 <= place.row < read_field(field.path).shape[0]


def test_each_round_of_mining_scans_other_fields_and_keeps_the_rest(data_folder, small_recipe):
    recipe = replace(small_recipe, mining_thinning=2)
    training_set = load_training_set(recipe, data_folder)
    net = build_network(recipe.architecture, recipe.arguments)
    fields = list(training_set.pools.sizes)
    first = mine(net, training_set, recipe, turn=0)
    assert {place.field for place in first} <= set(fields[::2])
    second = mine(net, replace(training_set, pools=training_set.pools.with_mined(first)), recipe, turn=1)
    assert second[: len(first)] == first
    assert {place.field for place in second[len(first) :]} <= set(fields[1::2])
    assert set(second) == set(mine(net, training_set, small_recipe))


def test_folded_normalisation_changes_no_output():
    torch.manual_seed(0)
    net = build_network("validnet", {"stem": 8, "stages": [8], "head": 8, "patch_size": 30}).train()
    images = torch.randn(4, 3, 38, 38)
    with torch.no_grad():
        for _ in range(3):
            apply_convolutionally(net, images)
        folded = fold_normalisation(net)
        assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in folded.modules())
        wanted = apply_convolutionally(net.eval(), images)
        torch.testing.assert_close(apply_convolutionally(folded, images), wanted, rtol=1e-4, atol=1e-5)


def test_folds_are_trained_without_their_cases_and_only_once(data_folder, small_recipe, tmp_path):
    recipe = replace(
        small_recipe,
        held_out=(),
        folds=(("A",), ("B", "C")),
        steps=4,
        fold_steps=2,
        mining=(),
        card={"threshold": 0.7, "background": {"reference": -2.0}},
    )
    train(recipe, data_folder, tmp_path / "model", settings=TrainSettings("cpu"))
    model, folds = load_model(tmp_path / "model"), load_folds(tmp_path / "model")
    assert [fold.card.training["held_out"] for fold in folds] == [["A"], ["B", "C"]]
    assert [fold.card.training["cases"] for fold in folds] == [["B", "C"], ["A"]]
    assert model.card.training["cases"] == ["A", "B", "C"]
    assert {one.card.threshold for one in (model, *folds)} == {0.7}
    assert model.card.background.reference == -2.0
    before = [path.stat().st_mtime_ns for path in sorted((tmp_path / "model" / "folds").rglob("*.safetensors"))]
    train(recipe, data_folder, tmp_path / "model", settings=TrainSettings("cpu"))
    assert before == [path.stat().st_mtime_ns for path in sorted((tmp_path / "model" / "folds").rglob("*.safetensors"))]


def test_training_learns_and_leaves_a_model_folder(data_folder, small_recipe, tmp_path):
    recipe = replace(small_recipe, steps=60, learning_rate=1e-2, mining=(), averaging=0.8)
    losses = []
    model = train(
        recipe,
        data_folder,
        tmp_path / "model",
        settings=TrainSettings("cpu", report_every=20),
        on_progress=lambda progress: losses.append(progress.loss),
    )
    assert losses[-1] < 0.7 * losses[0]
    loaded = load_model(tmp_path / "model")
    assert loaded.card == model.card
    assert loaded.card.training["held_out"] == ["C"]
    assert loaded.card.training["figures"] == 3
    for one, two in zip(model.net.state_dict().values(), loaded.net.state_dict().values(), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)
