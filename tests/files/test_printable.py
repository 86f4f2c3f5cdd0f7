"""Names are said on one line, in any encoding of Unicode, and cannot steer a terminal."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.files.printable import printable, well_formed


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (b"Pr\xc3\xa4parat (1,0) [HE].svs", "Präparat (1,0) [HE].svs"),
        (b"M\xfcller.svs", r"M\xfcller.svs"),
        (b"two\nlines\r\tof.svs", r"two\nlines\r\tof.svs"),
        (b"\x1b[2Jgone.svs", r"\x1b[2Jgone.svs"),
        ("\u202egnp.svs\u2028".encode(), r"\u202egnp.svs\u2028"),
        (b"\xc3", r"\xc3"),
    ],
)
def test_a_name_is_said_as_people_can_read_it(name: bytes, said: str) -> None:
    assert printable(os.fsdecode(name)) == printable(Path(os.fsdecode(name))) == said


def test_bytes_that_are_utf_8_are_letters_where_the_systems_encoding_is_ascii() -> None:
    assert printable("Pr\udcc3\udca4parat") == "Präparat"


@given(st.text(alphabet=st.characters(), max_size=20))
def test_whatever_is_said_is_one_line_of_text(text: str) -> None:
    said = printable(text)
    assert said.encode("utf-8").decode("utf-8") == said
    assert not set(said) & {"\n", "\r", "\t", "\x1b", "\0", "\x7f", "\x9b", "\u2028", "\u202e"}
    assert printable(said) == said
    assert well_formed(text).count("\n") == text.count("\n")
