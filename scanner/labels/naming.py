"""Class names: from those that labels use to those of the model."""

from __future__ import annotations

from collections.abc import Sequence

from scanner.errors import SettingsError
from scanner.labels.targets import NO_CLASS

#: Names that readers give to points that look like mitotic figures and are not.
DISPUTED_NAMES = frozenset(
    ("hard negative", "hard_negative", "non-mitotic figure", "nonmitotic", "non-mitotic", "imposter", "look-alike")
)
#: The suffix of QuPath's class for objects to be ignored.
IGNORED_SUFFIX = "*"


def class_of(name: str, classes: Sequence[str], *, source: str) -> int | None:
    """The index of a label's class; NO_CLASS if it is to be ignored, None if it is disputed: no figure, but like one.

    Parameters
    ----------
    name : str
        As the label says it; "" where it says none, which is the first class after the background.
    classes : sequence of str
        Of the model, the background first.
    source : str
        File, for the message.

    Raises
    ------
    SettingsError
        The model has no such class.
    """
    plain = name.strip().lower()
    known = [one.lower() for one in classes]
    if not plain:
        return 1
    if plain in known:
        return known.index(plain)
    if plain in DISPUTED_NAMES:
        return None
    if plain.endswith(IGNORED_SUFFIX):
        return NO_CLASS
    if len(classes) == 2 and plain.rstrip("s") in {known[1].rstrip("s"), f"{known[1]}figure", "mitotic figure"}:
        return 1
    raise SettingsError(f"{source} has labels of class {name!r}; the classes are {', '.join(classes)}")
