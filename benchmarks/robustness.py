"""How much the count changes when the same fields come at another resolution, in other colours, or from another device.

    python -m benchmarks.robustness --data data/mitos14 --every 8

Fields are scored by the folds of the model that were trained without their case. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageFilter

from models import Model, load_folds, load_model
from scanner import scan
from scanner.evaluation.folds import unseen_by
from scanner.labels.fields import LabelledField, read_fields
from scanner.training.devices import demosaic

FIELD_MPP = 0.2274
#: Changed field and its mpp.
Change = Callable[[Image.Image], tuple[Image.Image, float]]


def resampled(mpp: float) -> Change:
    """The field as a scanner of that many um per pixel shows it."""

    def change(image: Image.Image) -> tuple[Image.Image, float]:
        size = tuple(round(length * FIELD_MPP / mpp) for length in image.size)
        return image.resize((size[0], size[1]), Image.Resampling.BICUBIC, reducing_gap=None), mpp

    return change


def turned_hue(degrees: float) -> Change:
    """Every hue turned by so many degrees."""

    def change(image: Image.Image) -> tuple[Image.Image, float]:
        hsv = np.array(image.convert("HSV"))
        hsv[..., 0] += np.uint8(round(degrees / 360 * 256) % 256)  # Wraps, as hues do.
        return Image.fromarray(hsv, "HSV").convert("RGB"), FIELD_MPP

    return change


def brighter(factor: float) -> Change:
    """Grey levels times `factor`."""
    return lambda image: (ImageEnhance.Brightness(image).enhance(factor), FIELD_MPP)


def with_gamma(gamma: float) -> Change:
    """Grey levels as shares of white to the power of `gamma`."""
    levels = [round(255 * (level / 255) ** gamma) for level in range(256)]
    return lambda image: (image.point(levels * 3), FIELD_MPP)


def blurred(sigma_px: float) -> Change:
    """Out of focus."""
    return lambda image: (image.filter(ImageFilter.GaussianBlur(sigma_px)), FIELD_MPP)


def sharpened(percent: int) -> Change:
    """With an unsharp mask, as many devices add."""
    return lambda image: (image.filter(ImageFilter.UnsharpMask(1.5, percent, 0)), FIELD_MPP)


def through_mosaic(image: Image.Image) -> tuple[Image.Image, float]:
    """As a camera with one colour per pixel sees it (RGGB), interpolated bilinearly."""
    levels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    seen = demosaic(levels, chance=1.0, rng=np.random.default_rng(0))[0].permute(1, 2, 0)
    return Image.fromarray(seen.round().to(torch.uint8).numpy()), FIELD_MPP


def with_wrong_mpp(factor: float) -> Change:
    """Larger by `factor`, while its mpp is said to be what it was."""

    def change(image: Image.Image) -> tuple[Image.Image, float]:
        return resampled(FIELD_MPP / factor)(image)[0], FIELD_MPP

    return change


def compressed(quality: int) -> Change:
    """Once more through JPEG."""

    def change(image: Image.Image) -> tuple[Image.Image, float]:
        code = io.BytesIO()
        image.save(code, "JPEG", quality=quality)
        return Image.open(code).convert("RGB"), FIELD_MPP

    return change


CHANGES: dict[str, Change] = {
    "as it is, 0.2274 um/px": lambda image: (image, FIELD_MPP),
    "0.25 um/px": resampled(0.25),
    "0.35 um/px": resampled(0.35),
    "0.5 um/px": resampled(0.5),
    "hue turned by -8 degrees": turned_hue(-8),
    "hue turned by +8 degrees": turned_hue(8),
    "brightness x 0.9": brighter(0.9),
    "brightness x 1.1": brighter(1.1),
    "gamma 0.8": with_gamma(0.8),
    "gamma 1.25": with_gamma(1.25),
    "JPEG quality 95": compressed(95),
    "JPEG quality 75": compressed(75),
    "JPEG quality 50": compressed(50),
    "blurred by 1 px": blurred(1.0),
    "sharpened by 100 %": sharpened(100),
    "through a mosaic of colours": through_mosaic,
    "15 % larger than its mpp says": with_wrong_mpp(1.15),
    "15 % smaller than its mpp says": with_wrong_mpp(1 / 1.15),
}


def count_figures(model: Model, fields: list[LabelledField], change: Change, folds: tuple[Model, ...]) -> int:
    """Detections off the border in all fields together."""
    total = 0
    with TemporaryDirectory() as folder:
        path = Path(folder) / "field.png"
        for field in fields:
            with Image.open(field.path) as image:
                changed, mpp = change(image.convert("RGB"))
            changed.save(path)
            result = scan(path, unseen_by(model, folds, field.case), mpp=mpp, device="cpu")
            total += sum(not one.border for one in result.detections)
    return total


def table(model: str, data: Path, every: int) -> Iterator[str]:
    """The lines of the table, as they are measured."""
    loaded, folds = load_model(model), load_folds(model)
    fields = list(read_fields(data, mpp=FIELD_MPP))[::every]
    yield f"| {len(fields)} fields | count | change |"
    yield "|---|---|---|"
    reference = 0
    for name, change in CHANGES.items():
        count = count_figures(loaded, fields, change, folds)
        reference = reference or count
        yield f"| {name} | {count} | {(count - reference) / max(1, reference):+.0%} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mitosis-1")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--every", type=int, default=8, help="every so many-th field")
    arguments = parser.parse_args()
    for line in table(arguments.model, arguments.data, arguments.every):
        print(line, flush=True)
