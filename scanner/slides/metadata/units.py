"""Numbers and units of length as the writers of slides spell them: one table for all formats."""

from __future__ import annotations

import re
import unicodedata
from contextlib import suppress

#: Micrometres of each unit, by its name in lower case after NFKC, which makes the micro sign a Greek mu.
_UM_PER_UNIT = {
    name: um
    for um, names in {
        1e6: "m meter metre",
        1e5: "dm decimeter decimetre",
        1e4: "cm centimeter centimetre",
        1e3: "mm millimeter millimetre",
        1.0: "μm um μ micron micrometer micrometre",
        1e-3: "nm nanometer nanometre",
        1e-4: "å ångström ångstrom angstrom angström ang",
        1e-6: "pm picometer picometre",
        25_400.0: "in inch inche \" '' \u2033 \u2032\u2032 \u201d",
        25.4: "thou mil",
    }.items()
    for name in names.split()
}
#: Words for a side that has been measured in nothing.
_PIXELS = {"px", "pixel", "reference frame", "referenceframe", "reference_frame"}
#: By SI's rule other units than in lower case: mega-, peta-, and who knows what.
_AMBIGUOUS = {"M", "Mm", "Pm"}
#: A mu that some program could not write: one character for it, or two bytes of UTF-8.
_LOST_MU = re.compile("[?\ufffd]{1,2}(?=m$)")
_NUMBER = re.compile(r"\s*([+-]?(?:[0-9]+[.,]?[0-9]*|[.,][0-9]+)(?:[eE][+-]?[0-9]+)?)(?![.,0-9])\s*(.*?)\s*", re.DOTALL)


def um_per_unit(name: str) -> float | None:
    """Micrometres of a unit of length; None if it is no length but the pixel itself.

    Parameters
    ----------
    name : str
        As a file spells it: µm with the micro sign, the Greek mu, either escaped or lost, micron, micrometre, ...

    Raises
    ------
    ValueError
        The unit is not known; names it.
    """
    plain = _plain(name)
    if len(plain) > len("mm") + 1:  # Not of symbols: ms is no metres.
        plain = plain.removesuffix("s")
    if plain in _PIXELS:
        return None
    um = _UM_PER_UNIT.get(plain)
    if um is None or name.strip() in _AMBIGUOUS:
        raise ValueError(f"has the unit {shown(name)!r}, which is unknown")
    return um


def split_number(text: str) -> tuple[str, str]:
    """The number at the start of a text, and the unit behind it; all of it and "" if it begins with no number."""
    found = _NUMBER.fullmatch(text)
    return (found[1], found[2]) if found else (text.strip(), "")


def number_of(text: str) -> float:
    """A number with a decimal point or a decimal comma.

    Raises
    ------
    ValueError
        It is none.
    """
    number, rest = split_number(text)
    if rest or not _NUMBER.fullmatch(number):
        raise ValueError("is not a number")
    return float(number.replace(",", "."))


def shown(text: str) -> str:
    """A file's text as a message may hold it: what can be printed, and not too much of it."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text.strip())[:60]


def _plain(name: str) -> str:
    """A unit's name in one spelling: escapes read, lower case, no plural's dot, nothing per pixel."""
    name = re.sub(r"\\u([0-9a-fA-F]{4})", lambda escape: chr(int(escape[1], 16)), name.strip(" \t\r\n\0"))
    with suppress(UnicodeError):  # UTF-8 that was read as Latin-1, and written so.
        name = name.encode("latin-1").decode("utf-8")
    name = unicodedata.normalize("NFKC", _LOST_MU.sub("μ", name)).casefold()
    return re.sub(r"\s*(/|per)\s*(px|pixel)s?$", "", name).rstrip(".").strip()
