from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from scanner.errors import SettingsError
from scanner.labels.points import read_points_fields


def write_folder(folder, **tables):
    (folder / "images").mkdir()
    for name in ("a", "b", "c"):
        Image.new("RGB", (40, 30)).save(folder / "images" / f"{name}.png")
    for table, rows in tables.items():
        (folder / f"{table}.csv").write_text("image,case,x,y\n" + "".join(f"{row}\n" for row in rows))


def test_every_field_with_a_point_is_read_with_its_points_by_kind(tmp_path):
    write_folder(
        tmp_path, labels=["a.png,x,10,20"], hard_negatives=["a.png,x,1,2", "b.png,x,3,4"], unsure=["c.png,x,5,6"]
    )
    a, b, c = read_points_fields(tmp_path, mpp=0.25)
    assert [one.path.name for one in (a, b, c)] == ["a.png", "b.png", "c.png"]
    np.testing.assert_array_equal(a.figures, [(20, 10)])
    np.testing.assert_array_equal(a.points, [(20, 10), (2, 1)])
    assert (len(b.figures), b.others.tolist(), len(b.unsure)) == (0, [[4, 3]], 0)
    assert (len(c.figures), len(c.others), c.unsure.tolist()) == (0, 0, [[6, 5]])


def test_points_that_nobody_is_unsure_about_need_no_table(tmp_path):
    write_folder(tmp_path, labels=["a.png,x,10,20"], hard_negatives=[])
    assert len(read_points_fields(tmp_path, mpp=0.25)) == 1


def test_folders_that_cannot_be_scored_are_refused_by_name(tmp_path):
    write_folder(tmp_path, labels=["a.png,x,10,20"])
    with pytest.raises(SettingsError, match=r"hard_negatives\.csv"):
        read_points_fields(tmp_path, mpp=0.25)
    (tmp_path / "hard_negatives.csv").write_text("image,x,y\nd.png,1,1\n")
    with pytest.raises(SettingsError, match=r"line 2.*d\.png"):
        read_points_fields(tmp_path, mpp=0.25)
    (tmp_path / "hard_negatives.csv").write_text("image,x,y\na.png,50,1\n")
    with pytest.raises(SettingsError, match="outside"):
        read_points_fields(tmp_path, mpp=0.25)
