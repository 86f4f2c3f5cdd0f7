"""Numbers and units of length in every spelling that writers of slides use."""

from __future__ import annotations

import pytest

from scanner.slides.metadata.units import number_of, um_per_unit

MICROMETRES = (
    *"um µm μm \\u00B5m \\u03bcm \\u00b5m micron microns Micron micrometer micrometers micrometre UM µM".split(),
    *"um/px µm/pixel Âµm Î¼m �m ?m ㎛".split(),
    "microns per pixel",
    " um ",
)


OTHERS = {
    1e-3: ("nm", "NM", "nanometer", "nanometre", "Nanometers"),
    1e3: ("mm", "MM", "millimeter", "millimetre"),
    1e4: ("cm", "centimeter", "Centimetres"),
    1e6: ("m", "meter", "metre"),
    25_400.0: ("inch", "inches", "in", "IN", '"', "Inch", "″"),
    1e-4: ("Å", "Å", "angstrom", "Angstroms", "ångström"),
}


UNITS = [(name, um) for um, names in ({1.0: MICROMETRES} | OTHERS).items() for name in names]


@pytest.mark.parametrize(("unit", "um"), UNITS)
def test_a_unit_is_known_in_every_spelling(unit: str, um: float) -> None:
    for spelled in (unit, f"{unit}\r", f"{unit}  ", f" {unit}\0"):
        assert um_per_unit(spelled) == um


@pytest.mark.parametrize("unit", ["pixel", "pixels", "Pixel", "px", "reference frame"])
def test_pixels_are_no_length(unit: str) -> None:
    assert um_per_unit(unit) is None


@pytest.mark.parametrize("unit", ["", "furlong", "Mm", "M", "ms", "µ m²", "0.5"])
def test_a_unit_that_is_not_known_is_named(unit: str) -> None:
    with pytest.raises(ValueError, match=r"has the unit .*, which is unknown"):
        um_per_unit(unit)


@pytest.mark.parametrize(
    ("text", "number"),
    [("0.4990", 0.499), ("0,4990", 0.499), (" .25 ", 0.25), (",25", 0.25), ("2,5e-1", 0.25), ("-1", -1), ("3.", 3)],
)
def test_a_decimal_point_may_be_a_comma(text: str, number: float) -> None:
    assert number_of(text) == number


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "1.2.3", "1,234.5", "1_0", "0x1", "1e", "٣", "0.25 um"])
def test_what_is_no_number_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number"):
        number_of(text)
