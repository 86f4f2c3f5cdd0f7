from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from scanner.errors import SettingsError
from scanner.labels.fields import (
    LabelledField,
    list_cases,
    read_field,
    read_fields,
    read_figures,
    shape_of_field,
    split_by_case,
    split_by_slide,
)
from scanner.slides import open_slide
from tests.factories.slides import texture
from tests.training.data_folder import FIELDS, SIZE, draw_field


def test_fields_hold_their_labels_as_row_and_col(data_folder):
    fields = read_fields(data_folder / "fields", mpp=0.25)
    assert [one.path.name for one in fields] == sorted(FIELDS)
    for one in fields:
        case, figures, disputed = FIELDS[one.path.name]
        assert one.case == case
        np.testing.assert_array_equal(one.points, np.array(figures, float).reshape(-1, 2))
        np.testing.assert_array_equal(one.disputed, np.array(disputed, float).reshape(-1, 2))


def test_a_split_parts_the_fields_and_cuts_no_case(data_folder):
    fields = read_fields(data_folder / "fields", mpp=0.25)
    kept, held_out = split_by_case(fields, ["A"])
    assert list_cases(held_out) == ["A"]
    assert list_cases(kept) == ["B", "C"]
    assert len(kept) + len(held_out) == len(fields)


def test_an_unknown_case_is_refused_by_name(data_folder):
    with pytest.raises(SettingsError, match="no field of case Z"):
        split_by_case(read_fields(data_folder / "fields", mpp=0.25), ["Z"])


def test_a_folder_without_labels_is_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"labels\.csv"):
        read_fields(tmp_path, mpp=0.25)


def test_a_labelled_image_that_is_absent_is_refused(tmp_path):
    (tmp_path / "labels.csv").write_text("image,case,x,y\nabsent.png,A,1,1\n")
    with pytest.raises(SettingsError, match=r"absent\.png"):
        read_fields(tmp_path, mpp=0.25)


def test_a_cutout_has_its_figure_in_the_middle(data_folder):
    for one in read_figures(data_folder / "cutouts", mpp=0.25):
        np.testing.assert_array_equal(one.points, [[(SIZE - 1) / 2, (SIZE - 1) / 2]])
        assert one.source == "scanner"


def test_a_cutout_over_the_edge_of_its_slide_is_left_out(tmp_path):
    (tmp_path / "patches").mkdir()
    pixels = draw_field([(48, 48)], 0)
    pixels[:, :20] = 0
    Image.fromarray(pixels).save(tmp_path / "patches" / "edge.png")
    (tmp_path / "patches.csv").write_text("file,slide,scanner_group\nedge.png,s,g\n")
    assert read_figures(tmp_path, mpp=0.25) == ()


def test_slides_held_out_are_whole_and_of_every_scanner():
    def figure(scanner: str, slide: int) -> LabelledField:
        return LabelledField(Path(f"{scanner}{slide}.png"), f"slide{slide:02}", 0.25, source=scanner)

    figures = [figure(scanner, slide) for scanner in "ab" for slide in range(9) for _ in range(3)]
    kept, held_out = split_by_slide(figures, 4)
    assert sorted(map(id, kept + held_out)) == sorted(map(id, figures))
    assert {(one.source, one.case) for one in held_out} == {(s, f"slide{n:02}") for s in "ab" for n in (2, 6)}
    assert not {(one.source, one.case) for one in kept} & {(one.source, one.case) for one in held_out}
    assert split_by_slide(figures, 0) == (tuple(figures), ())


@pytest.mark.parametrize("kind", ["palette", "miniswhite", "16 bits", "unusable mpp"])
def test_a_tiff_is_trained_on_as_it_is_scanned(tmp_path: Path, kind: str) -> None:
    options: dict[str, Any]
    pixels, options = texture(50, 60), {"photometric": "rgb", "metadata": None}
    if kind == "palette":
        palette = np.random.default_rng(0).integers(0, 256, (3, 256)).astype(np.uint16)
        pixels, options = pixels[:, :, 0], {"photometric": "palette", "colormap": palette}
    elif kind == "miniswhite":
        pixels, options = pixels[:, :, 0], {"photometric": "miniswhite"}
    elif kind == "16 bits":
        pixels = pixels.astype(np.uint16) * 256
    else:
        options |= {"description": "ImageJ=1.54f\nunit=furlong\n", "resolution": (4, 4)}
    tifffile.imwrite(tmp_path / "a.tif", pixels, **options)
    with open_slide(tmp_path / "a.tif", 1.0) as slide:
        np.testing.assert_array_equal(read_field(tmp_path / "a.tif"), slide.read(0, (0, 0, 50, 60)))
    assert shape_of_field(tmp_path / "a.tif") == (50, 60)
