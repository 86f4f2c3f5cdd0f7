"""The same network patch by patch in MONAI: a sliding window over the slide, read by OpenSlide.

python -m benchmarks.peers.monai_patches SLIDE MODEL OUT.csv --threads 2
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from pathlib import Path

import numpy as np
import torch
from monai.data import DataLoader, SlidingPatchWSIDataset  # type: ignore[attr-defined]
from skimage.feature import peak_local_max

from models import load_model
from models.normalisation import StainStatistics
from models.pixel_tables import apply_table, normalisation_table

#: The patch loop's usual batch (`benchmarks.dense`).
BATCH = 64


def main() -> None:
    """Scan one slide."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slide", type=Path)
    parser.add_argument("model")
    parser.add_argument("out", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = load_model(options.model)
    card = model.card
    patches = SlidingPatchWSIDataset(
        data=[{"image": str(options.slide)}],
        patch_size=(card.patch_size, card.patch_size),
        patch_level=0,
        overlap=1 - card.stride / card.patch_size,
        reader="OpenSlide",
    )
    table = normalisation_table(card.normalisation, StainStatistics(card.normalisation.mean, card.normalisation.std))
    net = model.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    places, scores, network = [], [], 0.0
    with torch.inference_mode():
        for batch in DataLoader(patches, batch_size=BATCH):
            pixels = batch["image"].as_tensor().to(torch.uint8).permute(0, 2, 3, 1)
            started = time.perf_counter()
            logits = net(apply_table(pixels, table))
            network += time.perf_counter() - started
            scores.append((logits[:, 1] - logits[:, 0] - card.calibration.bias).sigmoid())
            places.append(np.asarray(batch["image"].meta["location"]))
    corners = np.concatenate(places) // card.stride
    found = np.zeros(corners.max(axis=0) + 1, np.float32)
    found[tuple(corners.T)] = torch.cat(scores).numpy()
    radius_px = round(card.radius_um / card.mpp / card.stride)
    peaks = peak_local_max(found, min_distance=radius_px, threshold_abs=card.threshold)  # type: ignore[no-untyped-call]
    with options.out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("x", "y", "score"))
        middle = card.patch_size // 2
        writer.writerows((c * card.stride + middle, r * card.stride + middle, found[r, c]) for r, c in peaks)
    print(json.dumps({"network": network, "detections": len(peaks)}))


if __name__ == "__main__":
    main()
