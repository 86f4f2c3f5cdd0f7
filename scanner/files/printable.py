r"""File names as text: in a terminal, in logs, in JSON and on pages.

A file's name is bytes. Those that are not text, and those that would move the cursor, break a line or turn the
direction of writing, are shown as backslash escapes (`\xfc`, `\n`, `\u202e`); everything else as it is. Files and
folders keep their names: this is for what people read.
"""

from __future__ import annotations

import os
import re

#: Halves of UTF-16 pairs: Python's stand-ins for bytes of a name that are not UTF-8.
_STAND_INS = re.compile("[\ud800-\udfff]+")
#: Control characters, ends of lines and paragraphs, and what turns the direction of writing.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(name: str | os.PathLike[str]) -> str:
    """A path, or a message with paths in it, as one line of text that any encoding of Unicode can hold."""
    return _CONTROLS.sub(_escaped, well_formed(os.fspath(name)))


def well_formed(text: str, *, backslash: str = "\\") -> str:
    """The text with bytes that are not UTF-8 as escapes, and nothing else changed.

    Parameters
    ----------
    text : str
    backslash : str
        What an escape begins with: two of them within JSON.
    """
    return _STAND_INS.sub(lambda found: _bytes_as_text(found[0]).replace("\\", backslash), text)


def _bytes_as_text(stand_ins: str) -> str:
    try:
        # Where the system's encoding is ASCII, they may be UTF-8 all the same.
        return stand_ins.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # Surrogates that stand for no byte.
        return stand_ins.encode("ascii", "backslashreplace").decode("ascii")


def _escaped(found: re.Match[str]) -> str:
    sign = found[0]
    return _SHORT.get(sign) or (f"\\x{ord(sign):02x}" if ord(sign) < 256 else f"\\u{ord(sign):04x}")
