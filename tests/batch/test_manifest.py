"""A manifest gives every slide its place and its own mpp, and is refused by line where it cannot be meant so."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest

from scanner.batch.manifest import read_manifest, slides_to_scan
from scanner.batch.worklist import FoundSlide, plan_jobs
from scanner.errors import SettingsError


def manifest(folder: Path, text: str) -> Path:
    path = folder / "slides.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_paths_are_relative_to_the_manifest_and_columns_may_be_left_out(tmp_path: Path) -> None:
    path = manifest(tmp_path, "path\na.svs\nbelow/b.svs\n/elsewhere/c.svs\n")
    assert read_manifest(path) == [
        FoundSlide(tmp_path / "a.svs", Path("a.svs")),
        FoundSlide(tmp_path / "below" / "b.svs", Path("b.svs")),
        FoundSlide(Path("/elsewhere/c.svs"), Path("c.svs")),
    ]


def test_id_mpp_and_mask_hold_for_one_slide(tmp_path: Path) -> None:
    path = manifest(tmp_path, "\ufeffID, Path ,stain,mpp,mask\ncase 1/S1.2,a.svs,HE,0.25,m.geojson\n,b.svs,HE,,\n")
    first, second = plan_jobs(read_manifest(path), Path("out"))
    assert (first.folder, first.mpp, first.mask) == (Path("out/case 1/S1.2"), 0.25, tmp_path / "m.geojson")
    assert (second.folder, second.mpp, second.mask) == (Path("out/b"), None, None)


def test_a_path_may_hold_commas_and_line_ends_may_be_those_of_windows(tmp_path: Path) -> None:
    path = manifest(tmp_path, 'path,mpp\r\n"a, left.svs",0.5\r\n')
    assert [(slide.path.name, slide.mpp) for slide in read_manifest(path)] == [("a, left.svs", 0.5)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize(
    ("separator", "mpp"), [(",", "0.499"), (",", '"0,499"'), (";", "0,499"), (";", "0.499"), ("\t", "0,499")]
)
def test_columns_are_parted_as_spreadsheets_part_them(tmp_path: Path, separator: str, mpp: str, encoding: str) -> None:
    lines = [["Path", "Stain", "mpp"], ["Präparat 1.svs", "HE", mpp], [], ["b.svs", "HE", ""]]
    path = tmp_path / "slides.csv"
    path.write_bytes("\r\n".join(separator.join(line) for line in lines).encode(encoding))
    (tmp_path / unicodedata.normalize("NFD", "Präparat 1.svs")).touch()
    first, second = read_manifest(path)
    assert first.path.exists()
    assert (first.mpp, second.mpp, second.path.name) == (0.499, None, "b.svs")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no column 'path' in the first line, which holds nothing"),
        ("slide\na.svs\n", "no column 'path' in the first line, which holds slide"),
        ("slide;mpp\na.svs;1\n", "no column 'path' in the first line, which holds slide, mpp"),
        ("path\n", "no slides"),
        ("path,mpp\na.svs,0.25\nb.svs,fine\n", "line 3: mpp = 'fine'"),
        ("path,mpp\na.svs,-1\n", "line 2: mpp = '-1'"),
        ("path,mpp\na.svs,nan\n", "line 2: mpp = 'nan'"),
        ("path,mpp\n,0.25\n", "line 2: path is empty"),
        ("path,id\na.svs,../b\n", "line 2: id = '../b'"),
        ("path,id\na.svs,/b\n", "line 2: id = '/b'"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_line(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read_manifest(manifest(tmp_path, text))
    assert reason in str(raised.value)
    assert "slides.csv" in str(raised.value)


def test_a_manifest_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00path")
    for name in ("gone.csv", "binary.csv"):
        with pytest.raises(SettingsError, match=name):
            read_manifest(tmp_path / name)


def test_two_slides_with_one_id_fail_by_their_names(tmp_path: Path) -> None:
    path = manifest(tmp_path, "path,id\na.svs,one\nb.svs,ONE\nc.svs,\n")
    jobs = plan_jobs(read_manifest(path), Path("out"))
    assert ["/b.svs;" in jobs[0].fault, "/a.svs;" in jobs[1].fault, jobs[2].fault] == [True, True, ""]


def test_an_id_is_kept_when_another_slide_would_go_there(tmp_path: Path) -> None:
    path = manifest(tmp_path, "path,id\na.svs,\nb.svs,a\n")
    assert [job.folder for job in plan_jobs(read_manifest(path), Path("out"))] == [Path("out/a.svs"), Path("out/a")]


def test_manifests_stand_beside_folders_and_slides(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.svs").touch()
    (tmp_path / "folder" / "notes.csv").touch()
    path = manifest(tmp_path, "path\nb.svs\n")
    found = slides_to_scan([path, tmp_path / "folder", tmp_path / "folder"])
    assert [slide.path.name for slide in found] == ["a.svs", "b.svs"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('path,mpp\na.svs,0.25\n"b.svs,0.25\nc.svs,0.25\n', "after line 2: a quote is not closed"),
        ('path\n"a.svs" (1)\n', "after line 1: a quote is not closed, or text follows it"),
        ("path,mpp\n" + "x" * 200_000 + ",1\n", "after line 1: a cell is too long"),
        ("path\na.svs\nFall 3, left.svs\n", "line 3: more cells than the first line"),
        ("sep=;\n\npath;mpp\na.svs;fine\n", "line 4: mpp = 'fine'"),
        ("path,id,PATH\na.svs,b,c.svs\n", "several columns 'path'"),
    ],
)
def test_no_line_is_lost_or_taken_for_part_of_another(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(reason)) as raised:
        read_manifest(manifest(tmp_path, text))
    assert str(raised.value).startswith(str(tmp_path / "slides.csv"))


@pytest.mark.parametrize("preface", ["sep=;\r\n", '"sep=;"\n', "sep=\t\n", "\n \n", "\ufeff\n"])
@pytest.mark.parametrize("below", ["", "\n;;\n \n", ";\n\n"])
def test_what_spreadsheets_write_around_a_table_is_none_of_it(tmp_path: Path, preface: str, below: str) -> None:
    path = manifest(tmp_path, f"{preface}path;mpp\na.svs;0,25{below}")
    assert [slide.mpp for slide in read_manifest(path)] == [0.25]


def test_paths_of_windows_are_read_where_they_are_here_and_else_fail_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "a.svs").touch()
    (tmp_path / "odd\\name.svs").touch()
    path = manifest(tmp_path, "path\nbelow\\a.svs\nodd\\name.svs\nC:\\slides\\b.svs\n\\\\share\\c.svs\n")
    here, odd, drive, share = read_manifest(path)
    assert (here.path, here.fault) == (tmp_path / "below" / "a.svs", "")
    assert (odd.path, odd.fault) == (tmp_path / "odd\\name.svs", "")
    assert f"C:\\slides\\b.svs: a Windows path ({path}, line 4)" in drive.fault
    assert "line 5" in share.fault
