"""A tile fits the machine, or is made smaller, or is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scanner.devices.device_queue import HostQueue, StageSeconds
from scanner.errors import SettingsError
from scanner.inference import memory
from scanner.inference.memory import choose_tile_side, memory_bound, memory_of_machine, widest_layer
from scanner.inference.scorer import Scorer, prepare_scorer
from scanner.settings import ScanSettings, reader_count, tile_side
from tests.networks.small_models import dot_model, random_model


@pytest.fixture
def scorer() -> Scorer:
    return prepare_scorer(dot_model(), None, stride=1, device="cpu")


def give(monkeypatch: pytest.MonkeyPatch, size: float) -> None:
    """Let the machine be of that size; what a container says is a file that tests cannot write."""
    monkeypatch.setattr(memory, "memory_of_machine", lambda _device: int(size / memory.SHARE) + 2)


def test_the_usual_tile_is_taken_where_it_fits(scorer: Scorer) -> None:
    usual = choose_tile_side(scorer, ScanSettings(), 1), choose_tile_side(scorer, ScanSettings(), 4)
    assert usual == (512, 2048 if scorer.is_native else 1024)
    assert choose_tile_side(scorer, ScanSettings(tile_size=700), 4) == 700


def test_whole_layers_are_held_of_smaller_tiles() -> None:
    for stride in (1, 2, 4, 8):
        assert tile_side(ScanSettings(), stride, is_native=False) <= 1024
        assert tile_side(ScanSettings(), stride) >= tile_side(ScanSettings(), stride, is_native=False)


def test_a_gpu_gets_large_tiles_and_many_readers() -> None:
    assert tile_side(ScanSettings(), 1, device_type="cuda") == tile_side(ScanSettings(), 8, device_type="cuda") == 4096
    assert tile_side(ScanSettings(tile_size=700), 8, device_type="cuda") == 700
    assert reader_count(ScanSettings(), "cpu") == 2 <= reader_count(ScanSettings(), "cuda") <= 16
    assert reader_count(ScanSettings(workers=5), "cuda") == 5


def test_a_tile_is_halved_until_it_fits(scorer: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ScanSettings()
    give(monkeypatch, memory_bound(scorer, settings, side=128))
    assert choose_tile_side(scorer, settings, 1) == 128
    give(monkeypatch, memory_bound(scorer, settings, side=512) - 10)
    assert choose_tile_side(scorer, settings, 1) == 256


def test_a_tile_that_the_caller_wants_and_that_does_not_fit_is_refused(
    scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(monkeypatch, memory_bound(scorer, ScanSettings(), side=512))
    with pytest.raises(SettingsError, match=r"tile_size = 1024 needs .* GiB"):
        choose_tile_side(scorer, ScanSettings(tile_size=1024), 1)


def test_a_machine_too_small_for_any_tile_is_refused(scorer: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, memory.PROCESS_BYTES)
    with pytest.raises(SettingsError, match="tile_size = 128"):
        choose_tile_side(scorer, ScanSettings(), 1)


def test_the_bound_grows_with_tile_batch_and_readers(scorer: Scorer) -> None:
    least = memory_bound(scorer, ScanSettings(), side=256)
    assert memory_bound(scorer, ScanSettings(), side=512) > least
    assert memory_bound(scorer, ScanSettings(batch_size=2), side=256) > least
    assert memory_bound(scorer, ScanSettings(workers=4), side=256) > least


def test_the_widest_layer_is_what_the_first_layers_of_a_known_network_hold() -> None:
    model = dot_model()
    scorer = prepare_scorer(model, None, stride=1, device="cpu")
    dilated = Scorer(memory_net(model), scorer.table, scorer.card, scorer.device)
    # One channel out of a window of 14: less than the three that go in; 4 bytes each.
    assert 3 * 4 < widest_layer(dilated, 1) < 4 * 4


def memory_net(model: object) -> torch.nn.Module:
    from scanner.dense import densify

    return densify(model.net, model.card.patch_size, form="dilation")  # type: ignore[attr-defined]


def test_patch_by_patch_needs_no_more_for_a_larger_tile() -> None:
    scorer = prepare_scorer(random_model(), None, stride=8, device="cpu", engine="patch")
    assert widest_layer(scorer, 8) == 0


def test_the_machine_has_memory() -> None:
    assert memory_of_machine(torch.device("cpu")) > 1 << 30


def test_a_gpu_has_free_what_torch_holds_for_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (1000, 9000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _device: 700)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _device: 300)
    assert memory_of_machine(torch.device("cuda")) == 1400


def test_a_process_that_may_take_less_than_the_machine_has_plans_with_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.resource, "getrlimit", lambda _kind: (12345, memory.resource.RLIM_INFINITY))
    assert memory_of_machine(torch.device("cpu")) == 12345


def test_a_host_without_memory_is_told_of_as_a_device_is() -> None:
    queue = HostQueue(lambda _pixels: torch.empty(1 << 60), StageSeconds())
    try:
        with pytest.raises(MemoryError):
            queue.launch([np.zeros((1, 1, 3), np.uint8)]).result()
    finally:
        queue.close()
