"""A GPU's queue: its scores on a GPU, and the order of its steps anywhere.

Without a GPU, streams and events are stand-ins that write down what is asked of them: what the host does, and what it
makes each stream wait for, is the same.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scanner.devices import cuda_queue
from scanner.devices.cuda_queue import SLOTS, CudaQueue
from scanner.devices.device_queue import StageSeconds
from scanner.inference.scorer import Scorer, prepare_scorer
from scanner.inference.tile_loop import score_tiles
from tests.inference.test_scorer import FLOAT32, PATCH_SIZE, STRIDE, assemble, read, tiles_of
from tests.networks.small_models import random_model


class Recorder:
    """Streams and events that happen at once, in the order in which they are asked for."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.current = "host"

    def stream(self, name: str) -> object:
        recorder = self

        class Stream:
            def wait_stream(self, other: object) -> None:
                recorder.log.append(f"{name} waits for {other}")

            def wait_event(self, event: object) -> None:
                recorder.log.append(f"{name} waits for {event}")

            def __str__(self) -> str:
                return name

        return Stream()

    def event(self) -> object:
        recorder = self

        class Event:
            where = "nowhere"

            def record(self) -> None:
                self.where = recorder.current
                recorder.log.append(f"event on {self.where}")

            def synchronize(self) -> None:
                recorder.log.append(f"host waits for {self}")

            def elapsed_time(self, _other: object) -> float:
                return 1.0

            def __str__(self) -> str:
                return f"event of {self.where}"

        return Event()

    @contextmanager
    def within(self, stream: object):  # type: ignore[no-untyped-def]
        before, self.current = self.current, str(stream)
        yield
        self.current = before


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    found = Recorder()
    names = iter(["up", "run", "down"])
    monkeypatch.setattr(cuda_queue, "_stream", lambda _device: found.stream(next(names)))
    monkeypatch.setattr(cuda_queue, "_event", lambda is_timed: found.event())
    monkeypatch.setattr(cuda_queue, "pinned_memory", lambda shape, dtype: torch.empty(tuple(shape), dtype=dtype))
    monkeypatch.setattr(torch.cuda, "stream", found.within)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _device: None)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda _tensor, stream: found.log.append(f"kept for {stream}"))
    return found


def test_uploads_scores_and_downloads_follow_each_other(recorder: Recorder) -> None:
    seconds = StageSeconds()

    def compute(pixels: Tensor) -> Tensor:
        recorder.log.append(f"compute on {recorder.current}")
        return pixels.sum(dim=3).float()

    queue = CudaQueue(compute, seconds, torch.device("cpu"))
    tiles = [np.full((4, 5, 3), value, np.uint8) for value in range(5)]
    flight = [queue.launch([tile]) for tile in tiles[:SLOTS]]
    first = recorder.log[: recorder.log.index("compute on run") + 5]
    assert first == [
        "run waits for up",
        "event on run",
        "compute on run",
        "event on run",
        "down waits for event of run",
        "kept for down",
        "event on down",
    ]
    assert not any(line.startswith("host waits") for line in recorder.log)
    # The third launch writes over the buffers of the first one: that must be down before.
    flight.append(queue.launch([tiles[SLOTS]]))
    assert recorder.log.count("host waits for event of down") == 1
    for value, pending in enumerate(flight):
        np.testing.assert_array_equal(pending.result(), np.full((1, 4, 5), 3.0 * value, np.float32))
    # A larger tile, and two at once, need larger buffers.
    pair = [np.full((8, 5, 3), value, np.uint8) for value in (1, 2)]
    np.testing.assert_array_equal(queue.launch(pair).result()[:, 0, 0], [3.0, 6.0])
    assert seconds.net == pytest.approx(0.004)
    assert seconds.wait == pytest.approx(0.003)
    queue.close()


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_gpu_gives_the_scores_of_the_cpu(precision: str, batch_size: int) -> None:
    model = random_model(patch_size=PATCH_SIZE)
    exact = assemble(prepare_scorer(model, None, stride=STRIDE, device="cpu"), 400)
    scorer = prepare_scorer(model, None, stride=STRIDE, device="cuda", precision=precision)
    for side in (20, 40, 400):  # Small tiles come again, and are run as graphs.
        found = assemble(scorer, side, batch_size=batch_size)
        tolerance = FLOAT32 if precision == "float32" else {"rtol": 0.0, "atol": 0.05}
        np.testing.assert_allclose(found, exact, **tolerance)


@pytest.mark.gpu
def test_a_gpu_gives_the_same_bits_every_time() -> None:
    model = random_model(patch_size=PATCH_SIZE)
    scorer = prepare_scorer(model, None, stride=STRIDE, device="cuda")
    np.testing.assert_array_equal(assemble(scorer, 40), assemble(scorer, 40))


@pytest.mark.gpu
def test_a_gpu_without_room_goes_on_in_halves() -> None:
    class Hungry(nn.Module):
        """Needs more than the card has for more than 100 outputs."""

        def __init__(self, net: nn.Module) -> None:
            super().__init__()
            self.net, self.stride = net, STRIDE

        def forward(self, images: Tensor) -> Tensor:
            logits: Tensor = self.net(images)
            if logits[0, 0].numel() > 100:
                torch.empty(1 << 50, dtype=torch.uint8, device=images.device)
            return logits

    scorer: Scorer = prepare_scorer(random_model(patch_size=PATCH_SIZE), None, stride=STRIDE, device="cuda")
    found = [part.values for part in score_tiles(replace(scorer, net=Hungry(scorer.net)), read, tiles_of(60))]
    for one, part in zip(found, score_tiles(scorer, read, tiles_of(60)), strict=True):
        np.testing.assert_allclose(one, part.values, **FLOAT32)
