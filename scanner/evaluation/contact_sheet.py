"""worst.png: the best-scoring false positives and the missed figures of a model, for inspection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from scanner.evaluation.matching import ScoredField, Verdict, match, missed_figures
from scanner.evaluation.rules import Rule
from scanner.exports.marks import font
from scanner.geometry.frames import mirrored
from scanner.labels.fields import LabelledField
from scanner.slides.pixels.colour import shown_as_rgb

#: Side of what a cell shows, micrometres, and of the cell, pixels.
CELL_UM, CELL_PX = 16.0, 128
COLUMNS, ROWS = 10, 3
LINE_PX = 16
PAPER, INK = (255, 255, 255), (40, 40, 40)
#: A false positive this near to a point that readers disagreed about is marked "argued".
ARGUED_UM = 8.0


@dataclass(frozen=True)
class _Cell:
    field: LabelledField
    row: float  # level-0 pixels
    col: float
    text: str


def draw_contact_sheet(
    fields: Sequence[LabelledField], scored: Sequence[ScoredField], rule: Rule, *, threshold: float
) -> Image.Image:
    """The worst false positives above the misses, each in the middle of its cell.

    Parameters
    ----------
    fields, scored : sequences of equal length
        Labels, and what was found.
    rule : Rule
    threshold : float
        Detections from here upwards are wrong or right; figures without one are missed.

    Returns
    -------
    Image
        RGB. False positives by falling score; misses by the falling score of the best candidate near them, so that
        those that a lower threshold would have found come first.
    """
    pairs = list(zip(fields, scored, strict=True))
    wrong = sorted((entry for pair in pairs for entry in _wrong(*pair, rule, threshold)), key=lambda e: -e[0])
    missed = sorted((entry for pair in pairs for entry in _missed(*pair, rule, threshold)), key=lambda e: -e[0])
    bands = [
        _draw_band(f"wrong detections, best scores first: {len(wrong)} in all", [cell for _, cell in wrong]),
        _draw_band(f"figures not found: {len(missed)} in all", [cell for _, cell in missed]),
    ]
    sheet = Image.new("RGB", (COLUMNS * CELL_PX, sum(band.height for band in bands)), PAPER)
    sheet.paste(bands[0], (0, 0))
    sheet.paste(bands[1], (0, bands[0].height))
    return sheet


def _wrong(field: LabelledField, one: ScoredField, rule: Rule, threshold: float) -> Iterable[tuple[float, _Cell]]:
    chosen = (match(one, rule) == Verdict.WRONG) & (one.scores >= threshold)
    for (row_um, col_um), score in zip(one.detections[chosen], one.scores[chosen], strict=True):
        row, col = row_um / field.mpp, col_um / field.mpp
        near = np.linalg.norm(field.disputed - (row, col), axis=1).min(initial=np.inf) * field.mpp
        argued = ", argued" if near <= ARGUED_UM else ""
        yield float(score), _Cell(field, row, col, f"{one.case} {score:.2f}{argued}")


def _missed(field: LabelledField, one: ScoredField, rule: Rule, threshold: float) -> Iterable[tuple[float, _Cell]]:
    for row_um, col_um in missed_figures(one, rule, threshold=threshold):
        near = np.linalg.norm(one.detections - (row_um, col_um), axis=1) <= rule.radius_um
        score = float(one.scores[near].max(initial=0.0))
        yield score, _Cell(field, row_um / field.mpp, col_um / field.mpp, f"{one.case} {score:.2f}")


def _draw_band(title: str, cells: Sequence[_Cell]) -> Image.Image:
    cells = cells[: COLUMNS * ROWS]
    rows = max(1, -(-len(cells) // COLUMNS))
    band = Image.new("RGB", (COLUMNS * CELL_PX, 2 * LINE_PX + rows * (CELL_PX + LINE_PX)), PAPER)
    draw = ImageDraw.Draw(band)
    draw.text((4, LINE_PX // 2), title, font=font(LINE_PX - 2), fill=INK)
    for index, cell in enumerate(cells):
        left = index % COLUMNS * CELL_PX
        top = 2 * LINE_PX + index // COLUMNS * (CELL_PX + LINE_PX)
        band.paste(_cut(cell), (left, top))
        draw.text((left + 4, top + CELL_PX), cell.text, font=font(LINE_PX - 4), fill=INK)
    return band


def _cut(cell: _Cell) -> Image.Image:
    pixels = shown_as_rgb(cell.field.read())
    side = round(CELL_UM / cell.field.mpp)
    top, left = round(cell.row) - side // 2, round(cell.col) - side // 2
    rows, cols = mirrored(top, top + side, pixels.shape[0]), mirrored(left, left + side, pixels.shape[1])
    return Image.fromarray(pixels[rows][:, cols]).resize((CELL_PX - 2, CELL_PX - 2), Image.Resampling.BICUBIC)


def write_contact_sheet(
    path: Path, fields: Sequence[LabelledField], scored: Sequence[ScoredField], rule: Rule, *, threshold: float
) -> None:
    """Write the sheet as a PNG."""
    draw_contact_sheet(fields, scored, rule, threshold=threshold).save(path)
