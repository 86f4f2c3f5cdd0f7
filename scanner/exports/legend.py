"""The foot of an overview: title, scale bar, what the marks mean, the colours of the map."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from models.card import NOTICE
from scanner.exports.map_picture import colours_from_levels
from scanner.exports.marks import (
    BORDER_COLOUR,
    DETECTION_COLOUR,
    HOTSPOT_COLOUR,
    INK_COLOUR,
    OVERSAMPLING,
    TISSUE_COLOUR,
    UNREADABLE_COLOUR,
    Colour,
    font,
    hatching,
)
from scanner.files.printable import printable

#: What a legend can explain; the scale bar is always there.
PARTS = ("detection", "on the border, not counted", "hotspot", "tissue", "unreadable", "ink", "probability 0 to 1")

PAPER_COLOUR: Colour = (255, 255, 255)
TEXT_COLOUR: Colour = (40, 40, 40)
NOTICE_COLOUR: Colour = (130, 130, 130)

#: A picture is at least this wide, for its legend.
MIN_WIDTH_PX = 760
# Lengths on an oversampled legend, in its own pixels.
MARGIN = 14 * OVERSAMPLING
LINE = 30 * OVERSAMPLING
TEXT_SIZE = 15 * OVERSAMPLING
SYMBOL = 18 * OVERSAMPLING
GAP = 10 * OVERSAMPLING
STROKE = 3 * OVERSAMPLING
#: The scale bar is the longest of 1, 2, 5, 10, ... micrometres that is not longer.
LONGEST_BAR = 160 * OVERSAMPLING

#: Left, top, right, bottom.
Corners = tuple[int, int, int, int]
Painter = Callable[[Image.Image, Corners], None]
#: Texts, each with the colour that it explains.
Classes = Sequence[tuple[str, Colour]]


@dataclass(frozen=True)
class _Entry:
    """A symbol and what it means."""

    paint: Painter
    text: str
    symbol_width: int = SYMBOL

    @property
    def width(self) -> int:
        return self.symbol_width + GAP // 2 + math.ceil(font(TEXT_SIZE).getlength(self.text)) + 2 * GAP


def above_legend(
    marked: Image.Image, *, title: str, px_um: float, parts: Container[str] = PARTS, classes: Classes = ()
) -> Image.Image:
    """A picture with its legend below; arguments as for `draw_legend`."""
    legend = draw_legend(max(marked.width, MIN_WIDTH_PX), title=title, px_um=px_um, parts=parts, classes=classes)
    picture = Image.new("RGB", (legend.width, marked.height + legend.height), PAPER_COLOUR)
    picture.paste(marked, ((legend.width - marked.width) // 2, 0))
    picture.paste(legend, (0, marked.height))
    return picture


def titled(name: str, text: str) -> str:
    """What a picture or page says of a slide of this name, which may be empty."""
    return f"{printable(name)}: {text}" if name else text


def under_title(picture: Image.Image, title: str) -> Image.Image:
    """A picture with a line of text above it."""
    height = LINE + MARGIN
    band = Image.new("RGB", (picture.width * OVERSAMPLING, height), PAPER_COLOUR)
    _write(band, MARGIN, MARGIN // 2, title)
    line = band.reduce(OVERSAMPLING)
    under = Image.new("RGB", (picture.width, picture.height + line.height), PAPER_COLOUR)
    under.paste(line, (0, 0))
    under.paste(picture, (0, line.height))
    return under


def draw_legend(
    width: int, *, title: str, px_um: float, parts: Container[str] = PARTS, classes: Classes = ()
) -> Image.Image:
    """The legend of a picture.

    Parameters
    ----------
    width : int
        Pixels; the height is what the text needs.
    title : str
        First line.
    px_um : float
        Micrometres per pixel of the picture, for the scale bar.
    parts : container of str
        Which of PARTS the picture shows.
    classes : sequence of (str, Colour)
        What areas of a colour are.
    """
    shown = [*_entries(px_um / OVERSAMPLING, parts), *(_Entry(_filled(colour), text) for text, colour in classes)]
    lines = _flow(shown, width * OVERSAMPLING - 2 * MARGIN)
    height = 2 * MARGIN + LINE * (len(lines) + 2)
    legend = Image.new("RGB", (width * OVERSAMPLING, height), PAPER_COLOUR)
    _write(legend, MARGIN, MARGIN, title)
    for number, line in enumerate(lines, start=1):
        left = MARGIN
        for entry in line:
            _draw_entry(legend, entry, left, MARGIN + number * LINE)
            left += entry.width
    _write(legend, MARGIN, height - MARGIN - LINE, NOTICE, NOTICE_COLOUR)
    return legend.reduce(OVERSAMPLING)


def scale_bar_um(longest_um: float) -> float:
    """The longest round length, 1, 2 or 5 times a power of ten, that is not longer."""
    power = 10.0 ** math.floor(math.log10(longest_um))
    return max(factor * power for factor in (1, 2, 5) if factor * power <= longest_um)


def _entries(px_um: float, parts: Container[str]) -> list[_Entry]:
    bar_um = scale_bar_um(LONGEST_BAR * px_um)
    entries = [
        _Entry(_ring(DETECTION_COLOUR), "detection"),
        _Entry(_ring(BORDER_COLOUR), "on the border, not counted"),
        _Entry(_frame(HOTSPOT_COLOUR), "hotspot"),
        _Entry(_frame(TISSUE_COLOUR), "tissue"),
        _Entry(_hatched(UNREADABLE_COLOUR), "unreadable"),
        _Entry(_hatched(INK_COLOUR, turned=True), "ink"),
        _Entry(_colour_bar, "probability 0 to 1", 100 * OVERSAMPLING),
    ]
    length = f"{bar_um / 1000:g} mm" if bar_um >= 1 else f"{bar_um * 1000:g} nm"
    scale = _Entry(_scale_bar, length, round(bar_um / px_um))
    return [scale, *(entry for entry in entries if entry.text in parts)]


def _flow(entries: list[_Entry], width: int) -> list[list[_Entry]]:
    """Entries in lines no wider than `width`, where they fit at all."""
    lines: list[list[_Entry]] = [[]]
    for entry in entries:
        if lines[-1] and sum(placed.width for placed in lines[-1]) + entry.width > width:
            lines.append([])
        lines[-1].append(entry)
    return lines


def _draw_entry(legend: Image.Image, entry: _Entry, left: int, top: int) -> None:
    symbol_top = top + (LINE - SYMBOL) // 2
    entry.paint(legend, (left, symbol_top, left + entry.symbol_width, symbol_top + SYMBOL))
    _write(legend, left + entry.symbol_width + GAP // 2, top, entry.text)


def _write(legend: Image.Image, left: int, top: int, text: str, colour: Colour = TEXT_COLOUR) -> None:
    draw = ImageDraw.Draw(legend)
    draw.text((left, top + LINE // 2), text, font=font(TEXT_SIZE), fill=colour, anchor="lm")


def _scale_bar(legend: Image.Image, corners: Corners) -> None:
    left, top, right, bottom = corners
    draw, middle = ImageDraw.Draw(legend), (top + bottom) // 2
    draw.line((left, middle, right, middle), fill=TEXT_COLOUR, width=STROKE)
    for end in (left, right):
        draw.line((end, middle - SYMBOL // 4, end, middle + SYMBOL // 4), fill=TEXT_COLOUR, width=STROKE)


def _ring(colour: Colour) -> Painter:
    return lambda legend, corners: ImageDraw.Draw(legend).ellipse(corners, outline=colour, width=STROKE)


def _frame(colour: Colour) -> Painter:
    return lambda legend, corners: ImageDraw.Draw(legend).rectangle(corners, outline=colour, width=STROKE)


def _filled(colour: Colour) -> Painter:
    return lambda legend, corners: ImageDraw.Draw(legend).rectangle(corners, fill=colour, outline=NOTICE_COLOUR)


def _hatched(colour: Colour, *, turned: bool = False) -> Painter:
    side = SYMBOL // OVERSAMPLING
    is_line = hatching((side, side), [(0, 0, side, side)])[:, :: -1 if turned else 1]
    mask = Image.fromarray(is_line.astype(np.uint8) * 255).resize((SYMBOL, SYMBOL))

    def paint(legend: Image.Image, corners: Corners) -> None:
        legend.paste(colour, corners[:2], mask)
        _frame(colour)(legend, corners)

    return paint


def _colour_bar(legend: Image.Image, corners: Corners) -> None:
    left, top, right, bottom = corners
    levels = np.linspace(0, 255, right - left).round().astype(np.uint8)
    colours = colours_from_levels(np.broadcast_to(levels, (bottom - top, right - left)))
    bar = Image.fromarray(colours)
    legend.paste(bar, (left, top), bar)
    ImageDraw.Draw(legend).rectangle(corners, outline=NOTICE_COLOUR, width=OVERSAMPLING)
