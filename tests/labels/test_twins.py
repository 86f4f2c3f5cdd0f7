from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from scanner.errors import SettingsError
from scanner.labels.twins import read_twins


@pytest.fixture
def folder(tmp_path):
    """A field of A03 and a cut-out of A04, twins of H03 and H04."""
    for place in ("fields/images", "cutouts/patches"):
        (tmp_path / place).mkdir(parents=True)
    Image.fromarray(np.full((40, 50, 3), 200, np.uint8)).save(tmp_path / "fields" / "images" / "A03_1.png")
    Image.fromarray(np.full((20, 20, 3), 180, np.uint8)).save(tmp_path / "cutouts" / "patches" / "1.png")
    (tmp_path / "fields" / "labels.csv").write_text("image,case,x,y\nA03_1.png,A03,20,10\n")
    (tmp_path / "cutouts" / "patches.csv").write_text("file,case\n1.png,A04\n")
    return tmp_path


def test_twins_have_the_case_of_the_first_scanner(folder):
    fields, figures = read_twins(folder, "fields", "cutouts", mpp=0.25, scanner="second", cases=("H03", "H04"))
    assert [(one.case, one.source, one.mpp) for one in (*fields, *figures)] == [
        ("H03", "", 0.25),
        ("H04", "second", 0.25),
    ]
    np.testing.assert_array_equal(fields[0].points, [[10, 20]])
    np.testing.assert_array_equal(figures[0].points, [[9.5, 9.5]])


def test_without_folders_there_are_none(folder):
    assert read_twins(folder, "", "", mpp=0.25, scanner="second", cases=("H03",)) == ((), ())


def test_a_twin_of_nobody_is_refused(folder):
    with pytest.raises(SettingsError, match="A04 is none of H03"):
        read_twins(folder, "fields", "cutouts", mpp=0.25, scanner="second", cases=("H03",))
