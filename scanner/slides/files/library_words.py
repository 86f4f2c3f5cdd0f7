"""A library's error message as a person needs it: what is wrong with the file, without the library's code."""

from __future__ import annotations

import json
import re
import struct

#: As `<COMPRESSION.JPEG: 7>` and `<_io.BytesIO object at 0x7f...>` are printed by Python.
_ENUM = re.compile(r"<[A-Za-z_.]*?\.?(\w+): -?\d+>")
_OBJECT = re.compile(r"\s*<[^<>]* object at 0x[0-9a-fA-F]+>")
_ENDS_EARLY = re.compile(r"truncated|unexpected end|premature|requires a buffer of|too few bytes", re.IGNORECASE)
#: What is raised by code that trusts what a file says of itself.
_CONTRADICTIONS = (AttributeError, TypeError, IndexError, AssertionError, ArithmeticError, RecursionError)
#: A reader's report is one line.
_MAX_WORDS = 300


def in_our_words(error: BaseException) -> str:
    """What is wrong with a file, by the exception that a library has raised on it."""
    words = _OBJECT.sub("", _ENUM.sub(r"\1", " ".join(str(error).split()))).strip()[:_MAX_WORDS]
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, KeyError):
        return f"it lacks {words or 'a part'}"
    if isinstance(error, json.JSONDecodeError):
        return f"its JSON is wrong from line {error.lineno}, column {error.colno} on"
    if isinstance(error, (EOFError, struct.error)) or _ENDS_EARLY.search(words):
        return "it ends before its content does"
    if isinstance(error, _CONTRADICTIONS) or "values to unpack" in words:
        return f"its parts contradict each other ({type(error).__name__}{': ' if words else ''}{words})"
    return words or type(error).__name__
