"""What a user would write instead: OpenSlide, ONNX Runtime, a loop over tiles. Runs in a process of its own.

    python -m benchmarks.peers.onnx_loop SLIDE NETWORK.onnx NETWORK.json OUT.csv --threads 2

No tissue mask, mirror at the border, resampling, stain of the slide (the card's stands for it), background, pictures,
report, checks or resume: what `mitoscan scan` does on top is not in it.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from pathlib import Path

import numpy as np
import onnxruntime
import openslide
from skimage.feature import peak_local_max


def main() -> None:
    """Scan one slide."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slide", type=Path)
    parser.add_argument("network", type=Path)
    parser.add_argument("contract", type=Path, help="what export_network wrote beside the network")
    parser.add_argument("out", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    contract = json.loads(options.contract.read_text())
    table = np.array(contract["table"], np.float32)  # (256, 3): normalised value of each 8-bit one
    side, stride, patch = contract["side"], contract["stride"], contract["patch_size"]
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    session = onnxruntime.InferenceSession(options.network.read_bytes(), settings, providers=["CPUExecutionProvider"])
    slide = openslide.OpenSlide(options.slide)
    width, height = slide.dimensions
    scores, network = np.zeros((height // stride, width // stride), np.float32), 0.0
    for top in range(0, height, side):
        for left in range(0, width, side):
            read = side + patch - stride
            corner = (left - patch // 2, top - patch // 2)  # OpenSlide gives transparent black beyond the slide.
            pixels = np.asarray(slide.read_region(corner, 0, (read, read)))
            image = np.stack([table[pixels[..., channel], channel] for channel in range(3)])[None]
            started = time.perf_counter()
            (logits,) = session.run(None, {"image": image})
            network += time.perf_counter() - started
            found = 1 / (1 + np.exp(logits[0, 0] - logits[0, 1] + contract["bias"]))
            part = scores[top // stride :, left // stride :][: found.shape[0], : found.shape[1]]
            part[:] = found[: part.shape[0], : part.shape[1]]
    peaks = peak_local_max(  # type: ignore[no-untyped-call]
        scores, min_distance=contract["radius_px"], threshold_abs=contract["threshold"]
    )
    with options.out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("x", "y", "score"))
        writer.writerows((col * stride, row * stride, scores[row, col]) for row, col in peaks)
    print(json.dumps({"network": network, "detections": len(peaks)}))


if __name__ == "__main__":
    main()
