"""The same classifier patch by patch in TIAToolbox's engine; runs in an environment that holds TIAToolbox alone.

python tia_patches.py SLIDE CLASSIFIER.pt CONTRACT.json OUT_FOLDER
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tiatoolbox.models.engine.io_config import IOPatchPredictorConfig
from tiatoolbox.models.engine.patch_predictor import PatchPredictor
from tiatoolbox.models.models_abc import ModelABC

#: The patch loop's usual batch (`benchmarks.dense`).
BATCH = 64


class Classifier(ModelABC):
    """A traced classifier with the table by which its bytes are normalised."""

    network_seconds = 0.0

    def __init__(self, path: Path, table: list[list[float]]) -> None:
        super().__init__()
        self.net = torch.jit.load(str(path))
        self.table = torch.tensor(table)  # (256, 3)

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """(N, h, w, 3) bytes -> (N, classes) logits."""
        values = torch.stack([self.table[:, c][patches[..., c].long()] for c in range(3)], dim=1)
        logits: torch.Tensor = self.net(values.contiguous(memory_format=torch.channels_last))
        return logits

    @staticmethod
    def infer_batch(model: Any, batch: Any, *, device: str) -> np.ndarray:  # noqa: ARG004  # the engine's interface
        """Probabilities (N, classes)."""
        started = time.perf_counter()
        with torch.inference_mode():
            found: np.ndarray = model(torch.as_tensor(batch)).softmax(dim=1).numpy()
        Classifier.network_seconds += time.perf_counter() - started
        return found

    @staticmethod
    def postproc(image: np.ndarray) -> np.ndarray:
        """The class of each patch."""
        return image.argmax(axis=-1)


def main() -> None:
    """Scan one slide."""
    slide, traced, contract, out = (Path(argument) for argument in sys.argv[1:])
    known = json.loads(contract.read_text())
    model = Classifier(traced, known["table"])
    engine = PatchPredictor(model=model, batch_size=BATCH, verbose=False)
    level0 = [{"units": "baseline", "resolution": 1.0}]
    plan = IOPatchPredictorConfig(
        input_resolutions=level0,
        output_resolutions=level0,
        patch_input_shape=(known["patch_size"],) * 2,
        stride_shape=(known["stride"],) * 2,
    )
    engine.run(
        [slide],
        masks=[np.ones((64, 64), np.uint8)],
        patch_mode=False,
        ioconfig=plan,
        return_probabilities=True,
        class_dict={0: "other", 1: "mitosis"},
        save_dir=out,
        overwrite=True,
        output_type="zarr",
    )
    # Its predictions are a probability for every patch, in a Zarr array: peaks are left to the user.
    print(json.dumps({"network": Classifier.network_seconds, "detections": None}))


if __name__ == "__main__":
    main()
