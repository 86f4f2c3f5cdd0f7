"""The loop over tiles: order, memory that does not suffice, and where the time goes; scores never depend on it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scanner.devices.cuda_queue import exact_convolutions
from scanner.devices.device_queue import HostQueue, StageSeconds
from scanner.errors import DeviceMemoryError, UnreadableRegionError
from scanner.geometry.frames import Box, plan_frame
from scanner.geometry.tiles import Tile, plan_tiles
from scanner.inference.scorer import Scorer, prepare_scorer
from scanner.inference.tile_loop import score_tiles
from tests.factories.slides import texture
from tests.networks.small_models import random_model

#: Rounding of float32 sums in another order, on probabilities.
FLOAT32 = {"rtol": 0.0, "atol": 1e-5}
STRIDE, PATCH_SIZE, HALO = 2, 21, 10
FIELD = texture(150, 130)
MIRRORED = np.pad(FIELD, ((HALO, HALO), (HALO, HALO), (0, 0)), mode="reflect")


def read(box: Box) -> np.ndarray:
    rows, cols = box.shifted(HALO, HALO).slices()
    return MIRRORED[rows, cols]


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return prepare_scorer(random_model(patch_size=PATCH_SIZE), None, stride=STRIDE, device="cpu")


def tiles_of(side: int) -> list[Tile]:
    return plan_tiles(plan_frame(FIELD.shape[:2], 0.25, 0.25, STRIDE), PATCH_SIZE, side)


def assemble(scorer: Scorer, side: int, **settings: int) -> np.ndarray:
    whole = np.full((75, 65), np.nan, np.float32)
    for scored in score_tiles(scorer, read, tiles_of(side), **settings):
        assert scored.values is not None
        whole[scored.tile.write.slices()] = scored.values
    return whole


class Cramped(nn.Module):
    """A network on a device that has memory for so many outputs; counts what it was asked."""

    def __init__(self, net: nn.Module, outputs: int) -> None:
        super().__init__()
        self.net, self.outputs, self.stride = net, outputs, STRIDE
        self.refused: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.net(images)
        if (asked := logits[:, 0].numel()) > self.outputs:
            self.refused.append(asked)
            raise torch.OutOfMemoryError(f"CUDA out of memory: {asked} outputs")
        return logits


@pytest.mark.parametrize("outputs", [9, 300])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_tile_that_the_device_has_no_memory_for_is_scored_in_parts(
    scorer: Scorer, outputs: int, batch_size: int
) -> None:
    cramped = Cramped(scorer.net, outputs)
    found = assemble(replace(scorer, net=cramped), 40, batch_size=batch_size)
    np.testing.assert_allclose(found, assemble(scorer, 40), **FLOAT32)
    # No size fails twice, but for the batch that was in flight when the first one failed.
    assert len(cramped.refused) <= 2 + np.log2(3 * 20 * 20 / outputs)


def test_a_device_without_memory_for_a_single_patch_is_an_error(scorer: Scorer) -> None:
    with pytest.raises(DeviceMemoryError, match=r"no memory for 21 x 21 px.*--device cpu"):
        assemble(replace(scorer, net=Cramped(scorer.net, 0)), 40)


def test_an_error_of_the_network_is_not_taken_for_want_of_memory(scorer: Scorer) -> None:
    class Broken(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            raise RuntimeError(f"a kernel failed on {tuple(images.shape)}")

    with pytest.raises(RuntimeError, match="a kernel failed"):
        assemble(replace(scorer, net=Broken()), 40)


def test_tiles_come_in_order_and_unreadable_ones_stay_in_it(scorer: Scorer) -> None:
    tiles = tiles_of(30)

    def damaged(box: Box) -> np.ndarray:
        if box == tiles[4].read:
            raise UnreadableRegionError("4")
        return read(box)

    scored = list(score_tiles(scorer, damaged, tiles, batch_size=2, workers=3))
    assert [part.tile for part in scored] == tiles
    assert [part.tile.index for part in scored if part.values is None] == [4]


def test_the_network_runs_while_scores_are_used(scorer: Scorer) -> None:
    begun = threading.Semaphore(0)

    class Telling(nn.Module):
        stride = STRIDE

        def forward(self, images: Tensor) -> Tensor:
            begun.release()
            return scorer.net(images)

    tiles = tiles_of(40)[:4]
    for number, _ in enumerate(score_tiles(replace(scorer, net=Telling()), read, tiles), start=1):
        # While the first tile is in hand here, the second is with the network: it begins without being asked.
        assert begun.acquire(timeout=30)
        if number == 1:
            assert begun.acquire(timeout=30)
        if number == 3:
            break


@pytest.mark.parametrize("tiles", [1, 3, 4, 9])
def test_tiles_that_share_the_processors_have_the_same_scores(scorer: Scorer, tiles: int) -> None:
    plan, processors = tiles_of(40)[:tiles], torch.get_num_threads()
    alone = list(score_tiles(scorer, read, plan))
    try:
        torch.set_num_threads(5)
        if scorer.at_once == 1:
            pytest.skip("there is no native form here")
        with closing(scorer.open_queue(StageSeconds(), batches=tiles)) as queue:
            assert queue.at_once == (2 if tiles >= 4 else 1)
        shared = list(score_tiles(scorer, read, plan))
        assert torch.get_num_threads() == 5
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == 5, "threads to come have all processors"
    finally:
        torch.set_num_threads(processors)
    assert [part.tile for part in shared] == plan
    for one, other in zip(alone, shared, strict=True):
        np.testing.assert_array_equal(one.values, other.values)


def test_launches_that_run_side_by_side_count_once() -> None:
    seconds, barrier = StageSeconds(), threading.Barrier(2)

    def compute(pixels: Tensor) -> Tensor:
        barrier.wait(30)
        threading.Event().wait(0.2)
        return pixels

    started = time.perf_counter()
    with closing(HostQueue(compute, seconds, at_once=2)) as queue:
        for pending in [queue.launch([np.zeros((1, 1, 3), np.uint8)]) for _ in range(2)]:
            pending.result()
    assert 0.2 <= seconds.net <= time.perf_counter() - started
    assert seconds.wait == 0


def test_leaving_early_stops_readers_and_network(scorer: Scorer) -> None:
    before = threading.active_count()
    scored = score_tiles(scorer, read, tiles_of(20), workers=2)
    next(scored)
    scored.close()
    assert threading.active_count() == before


def test_the_network_and_its_idle_time_are_counted(scorer: Scorer) -> None:
    seconds = StageSeconds()
    list(score_tiles(scorer, read, tiles_of(40), seconds=seconds))
    assert seconds.net > 0
    assert seconds.wait >= 0
    assert seconds.read > 0


def test_tiles_of_one_colour_have_its_score_and_cost_one_patch(scorer: Scorer) -> None:
    asked: list[int] = []

    class Counting(nn.Module):
        stride = STRIDE

        def forward(self, images: Tensor) -> Tensor:
            logits: Tensor = scorer.net(images)
            asked.append(logits[0, 0].numel())
            return logits

    def mostly_white(box: Box) -> np.ndarray:
        return read(box) if box.top < 0 else np.full((box.height, box.width, 3), 255 - 5 * (box.left > 50), np.uint8)

    found = [part.values for part in score_tiles(replace(scorer, net=Counting()), mostly_white, tiles_of(40))]
    expected = [scorer(mostly_white(tile.read)[None])[0] for tile in tiles_of(40)]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, **FLOAT32)
    assert asked.count(1) == 2


@pytest.mark.parametrize("allow_tf32", [False, True])
def test_settings_of_cudnn_hold_for_a_scan_alone(allow_tf32: bool) -> None:
    cudnn = torch.backends.cudnn
    before = cudnn.conv.fp32_precision, cudnn.benchmark, cudnn.deterministic
    with exact_convolutions(allow_tf32=allow_tf32):
        assert cudnn.conv.fp32_precision == ("tf32" if allow_tf32 else "ieee")
        assert (cudnn.benchmark, cudnn.deterministic) == (False, True)
    assert (cudnn.conv.fp32_precision, cudnn.benchmark, cudnn.deterministic) == before


def test_a_network_is_prepared_on_one_thread() -> None:
    model, threads, found = random_model(), torch.get_num_threads(), []
    model.net.register_forward_pre_hook(lambda *_: found.append(torch.get_num_threads()))
    torch.set_num_threads(2)
    try:
        prepare_scorer(model, None, stride=2, device="cpu")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert set(found) == {1}
