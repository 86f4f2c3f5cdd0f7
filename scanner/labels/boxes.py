"""What the four numbers of a box mean: left, top, width, height as in COCO; or the corners left, top, right, bottom.

The user states it, or the file does, or only one of the two is possible. It is never guessed from likelihood.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from scanner.errors import SettingsError

#: Side of MIDOG's boxes, all of which are squares of corners.
_MIDOG_SIDE = 50
#: An annotation's area is that of its box within this share, as numbers are rounded.
_SAME_AREA = 0.01


class Boxes(StrEnum):
    """How boxes are written."""

    CORNERS = "corners"  # left, top, right, bottom
    SIZE = "size"  # left, top, width, height


@dataclass(frozen=True)
class WrittenBox:
    """A box as a file has it."""

    #: The annotation, for messages.
    where: str
    numbers: tuple[float, float, float, float]
    #: (height, width) of its image, if the file states it.
    shape: tuple[float, float] | None = None
    #: "area" and "bbox_mode" of its annotation.
    area: object = None
    mode: object = None

    def edges(self, boxes: Boxes) -> tuple[float, float, float, float]:
        """(top, left, bottom, right) in that reading."""
        left, top, third, fourth = self.numbers
        right, bottom = (third, fourth) if boxes is Boxes.CORNERS else (left + third, top + fourth)
        return top, left, bottom, right

    def fits(self, boxes: Boxes) -> bool:
        """Whether it is a box in that reading, whose middle lies on its image."""
        top, left, bottom, right = self.edges(boxes)
        row, col = (top + bottom) / 2, (left + right) / 2
        is_on_image = self.shape is None or (0 <= row <= self.shape[0] and 0 <= col <= self.shape[1])
        return bottom > top and right > left and is_on_image

    def has_area(self, boxes: Boxes) -> bool:
        """Whether its annotation's area is that of the box in that reading."""
        top, left, bottom, right = self.edges(boxes)
        area = (bottom - top) * (right - left)
        is_number = isinstance(self.area, int | float) and not isinstance(self.area, bool)
        return is_number and abs(float(str(self.area)) - area) <= _SAME_AREA * abs(area)


def boxes_from_name(name: str) -> Boxes | None:
    """The reading that a recipe or a command line states; None if it states none.

    Raises
    ------
    SettingsError
        There is no such reading.
    """
    if name not in ("", *Boxes):
        raise SettingsError(f"boxes = {name!r} is unknown; known: {', '.join(Boxes)}")
    return Boxes(name) if name else None


def tell_boxes(boxes: Sequence[WrittenBox], *, stated: Boxes | None, info: object, source: str) -> Boxes:
    """How the boxes of a file are written.

    Parameters
    ----------
    boxes : sequence of WrittenBox
        All of the file that have no outline.
    stated : Boxes or None
        What the user states.
    info : object
        The file's own "info".
    source : str
        File, for the message.

    Raises
    ------
    SettingsError
        It is not stated and both are possible: shows both readings of the first box. Or what is stated is impossible:
        names the annotation.
    """
    if not boxes:
        return stated or Boxes.SIZE
    known = stated or _stated_by_file(boxes, info)
    if known is not None:
        wrong = next((box for box in boxes if not box.fits(known)), None)
        if wrong is not None:
            raise SettingsError(
                f"{source}, {wrong.where}: the box {_list(wrong.numbers)}, read as {known}, has its centre outside its "
                f"image{_size(wrong)}"
            )
        return known
    possible = [one for one in Boxes if all(box.fits(one) for box in boxes)]
    if len(possible) == 1:
        return possible[0]
    if not possible:
        wrong = next(box for box in boxes if not box.fits(Boxes.SIZE))
        other = next(box for box in boxes if not box.fits(Boxes.CORNERS))
        raise SettingsError(
            f"{source}: as sizes, the box {_list(wrong.numbers)} of {wrong.where} has its centre outside its image"
            f"{_size(wrong)}; as corners, {_list(other.numbers)} of {other.where}"
        )
    first = boxes[0]
    readings = ", ".join(f"as {one} its centre is at {_middle(first.edges(one))}" for one in Boxes)
    raise SettingsError(
        f"{source} does not say whether its boxes are corners or sizes: {_list(first.numbers)} of {first.where}: "
        f"{readings} (x, y); pass --boxes corners or --boxes size, or set boxes in the recipe"
    )


def _stated_by_file(boxes: Sequence[WrittenBox], info: object) -> Boxes | None:
    """What the file states: a mode or an area with each box, or that it is of MIDOG."""
    modes = {str(box.mode) for box in boxes}
    for name, reading in (("0", Boxes.CORNERS), ("1", Boxes.SIZE)):  # As detectron2 counts them.
        if modes == {name}:
            return reading
    by_area = [one for one in Boxes if all(box.has_area(one) for box in boxes)]
    if len(by_area) == 1:
        return by_area[0]
    is_midog = any("midog" in text.lower() for text in _texts(info)) or (
        len(boxes) > 1 and all(_is_of_midog(box) for box in boxes)
    )
    return Boxes.CORNERS if is_midog else None


def _is_of_midog(box: WrittenBox) -> bool:
    top, left, bottom, right = box.edges(Boxes.CORNERS)
    return (bottom - top, right - left) == (_MIDOG_SIDE, _MIDOG_SIDE)


def _texts(value: object) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)


def _list(numbers: Iterable[Any]) -> str:
    return f"[{', '.join(f'{number:g}' for number in numbers)}]"


def _middle(edges: tuple[float, float, float, float]) -> str:
    top, left, bottom, right = edges
    return f"({(left + right) / 2:g}, {(top + bottom) / 2:g})"


def _size(box: WrittenBox) -> str:
    return "" if box.shape is None else f" of {box.shape[1]:g} x {box.shape[0]:g} px"
