"""LabelledField: a field with its figures marked, as training and evaluation read it.

A data folder holds `images/`, `labels.csv` (image, case, x, y) and, where readers disagreed, `hard_negatives.csv`
(image, case, x, y): points that were judged not to be figures. Cases are split, never fields.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scanner.errors import SettingsError
from scanner.labels.tables import read_points, read_rows, refuse_points_off
from scanner.labels.targets import NO_CLASS
from scanner.slides import open_slide
from scanner.slides.pixels.protocol import RGB

#: Centres (row, col) in level-0 pixels, float64 (N, 2).
Points = npt.NDArray[np.float64]

#: Fields kept decoded; the 262 fields of MITOS-ATYPIA-14 are 1.9 GB.
DECODED_FIELDS = 2048

#: The rim of a cut-out figure begins here, micrometres from its centre.
RIM_UM = 9.0
#: Grey level of glass, which is in no statistic.
GLASS = 255

#: No tissue is darker than this grey level in all channels; a cut-out with more such pixels reaches over an edge.
BLACK = 10
MOST_BLACK = 0.005


@dataclass(frozen=True)
class LabelledField:
    """One field: where its pixels are, whose tissue it is, and what readers marked in it."""

    path: Path
    #: The patient or slide: what a split must not cut.
    case: str
    #: Micrometres per pixel.
    mpp: float
    #: Figures.
    points: Points = field(default_factory=lambda: np.zeros((0, 2)))
    #: Points that readers disagreed about and judged not to be figures.
    disputed: Points = field(default_factory=lambda: np.zeros((0, 2)))
    #: Points that nobody has judged: neither figures nor none, in training as in evaluation.
    ignored: Points = field(default_factory=lambda: np.zeros((0, 2)))
    #: Where its stain comes from, for fields of one figure each: the scanner.
    source: str = ""
    #: Class of each figure, an index of the model's classes; 1 for all where there is one kind.
    kinds: npt.NDArray[np.int64] | None = None
    #: Class of every pixel, uint8 (height, width), where each has one; 255 for none.
    pixel_classes: npt.NDArray[np.uint8] | None = None
    #: Channels of a pixel; 3: red, green and blue.
    channels: int = RGB

    @property
    def labels(self) -> Points:
        """All labelled points: what lies at none of them is background."""
        return np.concatenate([self.points, self.disputed, self.ignored])

    def read(self) -> npt.NDArray[np.uint8]:
        """Its pixels, uint8 (height, width, channels); not to be written to."""
        return read_field(self.path, self.channels)


def paint_figures_out(pixels: npt.NDArray[np.uint8], centres: Points, *, mpp: float) -> npt.NDArray[np.uint8]:
    """A copy in which all within RIM_UM of the centres (row, col) is glass: what is left is said of their slide."""
    rims = pixels.copy()
    rows, cols = np.ogrid[: rims.shape[0], : rims.shape[1]]
    for row, col in centres:
        rims[np.hypot(rows - row, cols - col) * mpp <= RIM_UM] = GLASS
    return rims


def read_fields(
    folder: Path,
    *,
    mpp: float,
    class_index: Callable[[str], int | None] | None = None,
    channels: int = RGB,
) -> tuple[LabelledField, ...]:
    """The labelled fields of a data folder, sorted by name.

    Parameters
    ----------
    folder : Path
        Holds `images/`, `labels.csv` and perhaps `hard_negatives.csv`.
    mpp : float
        Micrometres per pixel of all its images.
    class_index : callable, optional
        What the column `label` says, "" where there is none -> the class of a point; None: it is disputed, NO_CLASS:
        it is to be ignored.
    channels : int
        Of the images' pixels.

    Raises
    ------
    SettingsError
        The folder holds no `labels.csv`, or it names an image that is absent, or a place off its image.
    """
    labelled = read_points(folder / "labels.csv")
    disputed = read_points(folder / "hard_negatives.csv", required=False)
    fields = []
    for name, case in sorted({point.image: point.case for point in (*disputed, *labelled)}.items()):
        path = folder / "images" / name
        if not path.is_file():
            raise SettingsError(f"{folder / 'labels.csv'} names {name}, which images/ does not hold")
        own, argued = ([point for point in points if point.image == name] for points in (labelled, disputed))
        refuse_points_off((*own, *argued), shape_of_field(path, channels))
        places = [point.place for point in own]
        kinds = [class_index(point.label) if class_index else 1 for point in own]
        labelled_field = LabelledField(path, case, mpp, channels=channels)
        fields.append(with_points(labelled_field, places, kinds, disputed=[point.place for point in argued]))
    return tuple(fields)


def with_points(
    one: LabelledField,
    places: Sequence[tuple[float, float]],
    kinds: Sequence[int | None],
    *,
    disputed: Sequence[tuple[float, float]] = (),
) -> LabelledField:
    """A field with these points (row, col): of a class, disputed (None), or to be ignored (NO_CLASS)."""
    by_kind = list(zip(places, kinds, strict=True))
    figures = [(place, kind) for place, kind in by_kind if kind not in (None, 0, NO_CLASS)]
    return replace(
        one,
        points=_as_points([place for place, _ in figures]),
        kinds=np.array([kind for _, kind in figures], np.int64),
        disputed=_as_points([*(place for place, kind in by_kind if kind is None), *disputed]),
        ignored=_as_points([place for place, kind in by_kind if kind == NO_CLASS]),
    )


def read_figures(folder: Path, *, mpp: float) -> tuple[LabelledField, ...]:
    """Cut-out figures, each in the middle of its own small image, as fields of one figure.

    `folder` holds `patches/` and `patches.csv` (file, slide, scanner_group). Those that reach over the border of their
    slide, where they are black, are left out.
    """
    fields = []
    for _, row in read_rows(folder / "patches.csv"):
        path = folder / "patches" / row["file"]
        pixels = read_field(path)
        if (pixels.max(axis=2) < BLACK).mean() > MOST_BLACK:
            continue
        height, width = pixels.shape[:2]
        centre = np.array([[(height - 1) / 2, (width - 1) / 2]])
        scanner = row.get("scanner_group") or folder.name
        fields.append(LabelledField(path, row.get("slide") or row["case"], mpp, centre, source=scanner))
    return tuple(fields)


def split_by_case(
    fields: Iterable[LabelledField], held_out: Iterable[str]
) -> tuple[tuple[LabelledField, ...], tuple[LabelledField, ...]]:
    """`fields` of the other cases, and of the cases held out."""
    fields, cases = tuple(fields), set(held_out)
    unknown = cases - {one.case for one in fields}
    if unknown:
        raise SettingsError(f"no field of case {', '.join(sorted(unknown))}; cases: {', '.join(list_cases(fields))}")
    return tuple(f for f in fields if f.case not in cases), tuple(f for f in fields if f.case in cases)


def split_by_slide(
    figures: Iterable[LabelledField], every: int
) -> tuple[tuple[LabelledField, ...], tuple[LabelledField, ...]]:
    """Cut-out figures to train on, and those of every `every`-th slide of each scanner; 0 holds none out.

    The middle one of each `every` slides in the order of their names is held out, so that each scanner with at least
    that many has some.
    """
    figures = tuple(figures)
    if every < 1:
        return figures, ()
    slides = sorted({(one.source, one.case) for one in figures})
    ranks: dict[str, int] = defaultdict(int)
    held_out = set()
    for source, slide in slides:
        if ranks[source] % every == every // 2:
            held_out.add((source, slide))
        ranks[source] += 1
    kept = tuple(one for one in figures if (one.source, one.case) not in held_out)
    return kept, tuple(one for one in figures if (one.source, one.case) in held_out)


def list_cases(fields: Iterable[LabelledField]) -> list[str]:
    """Names of the cases, sorted."""
    return sorted({one.case for one in fields})


@lru_cache(maxsize=DECODED_FIELDS)
def read_field(path: Path, channels: int = RGB) -> npt.NDArray[np.uint8]:
    """Pixels of a field, uint8 (height, width, channels); not to be written to."""
    if channels == RGB and not _is_tiff(path):
        from PIL import Image

        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
    else:
        # As a scan reads it; its own mpp does not matter here, and may be unusable.
        with open_slide(path, 1.0, channels=channels) as slide:
            pixels = slide.read(0, (0, 0, slide.levels[0].height, slide.levels[0].width))
    pixels.flags.writeable = False
    return pixels


@lru_cache(maxsize=DECODED_FIELDS)
def shape_of_field(path: Path, channels: int = RGB) -> tuple[int, int]:
    """Height and width of a field, by its header where that says it."""
    if channels == RGB and not _is_tiff(path):
        from PIL import Image

        with Image.open(path) as image:
            return image.height, image.width
    height, width = read_field(path, channels).shape[:2]
    return height, width


def _is_tiff(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _as_points(pairs: list[tuple[float, float]]) -> Points:
    return np.array(pairs, dtype=np.float64).reshape(-1, 2)
