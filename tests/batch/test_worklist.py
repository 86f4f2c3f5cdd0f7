"""Which files a batch scans."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from scanner.batch.worklist import find_slides, plan_jobs
from tests.batch.batches import folders, touch
from tests.factories.dicom import write_dicom_series
from tests.factories.slides import pyramid, texture, write_pyramid
from tests.factories.vendor import write_mirax, write_vms


def found_in(root: Path, paths: Iterable[Path], *, recursive: bool = False) -> list[str]:
    return [str(slide.path.relative_to(root)) for slide in find_slides(paths, recursive=recursive)]


def test_a_folder_is_searched_for_slides_in_the_order_of_names(tmp_path: Path) -> None:
    touch(tmp_path, "b.SVS", "a.tiff", "notes.txt", "below/c.png")
    assert found_in(tmp_path, [tmp_path]) == ["a.tiff", "b.SVS"]
    assert found_in(tmp_path, [tmp_path], recursive=True) == ["a.tiff", "b.SVS", "below/c.png"]


def test_slides_keep_the_folders_below_the_one_searched(tmp_path: Path) -> None:
    touch(tmp_path, "one/two/c.png")
    assert [slide.kept for slide in find_slides([tmp_path], recursive=True)] == [Path("one/two/c.png")]


def test_a_file_named_on_its_own_may_have_any_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "slide.scan")
    assert found_in(tmp_path, [tmp_path / "slide.scan"]) == ["slide.scan"]


def test_a_path_that_is_not_there_comes_back_itself(tmp_path: Path) -> None:
    assert found_in(tmp_path, [tmp_path / "gone"]) == ["gone"]


def test_files_that_belong_to_a_mirax_slide_are_none(tmp_path: Path) -> None:
    touch(tmp_path, "a.mrxs", "a/preview.jpg", "b/field.jpg")
    assert found_in(tmp_path, [tmp_path], recursive=True) == ["a.mrxs", "b/field.jpg"]


def test_hidden_files_are_no_slides(tmp_path: Path) -> None:
    touch(tmp_path, "._a.svs", ".cache/b.svs", "c.svs")
    assert found_in(tmp_path, [tmp_path], recursive=True) == ["c.svs"]


def test_results_are_no_slides(tmp_path: Path) -> None:
    touch(tmp_path, "a.svs", "out/a/run.json", "out/a/overview.png", "out/a/map.ome.tiff")
    assert found_in(tmp_path, [tmp_path], recursive=True) == ["a.svs"]


def test_links_that_lead_back_end_the_search(tmp_path: Path) -> None:
    touch(tmp_path, "below/a.svs")
    (tmp_path / "below" / "up").symlink_to(tmp_path)
    assert found_in(tmp_path, [tmp_path], recursive=True) == ["below/a.svs"]


def test_a_slide_named_twice_is_scanned_once(tmp_path: Path) -> None:
    touch(tmp_path, "a.svs")
    assert len(plan_jobs(find_slides([tmp_path, tmp_path / "a.svs"]), tmp_path / "out")) == 1


def test_files_without_a_telling_suffix_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "series").mkdir()
    write_dicom_series(tmp_path / "series", pyramid(texture(64, 64), 2))
    for number, file in enumerate(sorted((tmp_path / "series").iterdir())):
        file.rename(tmp_path / "series" / (f"1.2.840.{number}" if number else "IM0001"))
    write_pyramid(tmp_path / "tiff", texture(40, 40), levels=1)
    (tmp_path / "notes").write_text("text")
    (tmp_path / "empty").touch()
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    os.mkfifo(tmp_path / "pipe")
    found = list(find_slides([tmp_path], recursive=True))
    assert [str(slide.kept) for slide in found] == ["series/1.2.840.1", "tiff"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a.svs.gz", "unpack it"),
        ("a.ome.zarr.zip", "unpack it"),
        ("a.TIF.XZ", "unpack it"),
        ("a.svs.part", "unfinished copy"),
        ("a.ndpi.crdownload", "unfinished copy"),
    ],
)
def test_packed_slides_and_leftovers_of_copies_fail_by_their_names(tmp_path: Path, name: str, reason: str) -> None:
    touch(tmp_path, "a.svs", "b.csv.gz", name)
    sound, refused = sorted(plan_jobs(find_slides([tmp_path]), Path("out")), key=lambda job: job.fault)
    assert (sound.folder, sound.fault) == (Path("out/a"), "")
    assert refused.slide == tmp_path / name
    assert reason in refused.fault


def test_a_folder_with_the_name_of_a_slide_comes_back_itself_unless_it_is_searched(tmp_path: Path) -> None:
    touch(tmp_path, "a.svs/b.png", "results.svs/run.json", "begun.svs/.scan/plan.json")
    assert found_in(tmp_path, [tmp_path]) == ["a.svs"]
    assert found_in(tmp_path, [tmp_path], recursive=True) == ["a.svs/b.png"]


def test_what_is_no_file_ends_no_search(tmp_path: Path) -> None:
    for name in ("a.dcm", "b.vms", "c.svs", "d"):
        os.mkfifo(tmp_path / name)
    for name in ("e.svs", "f", "g.dcm"):
        (tmp_path / name).symlink_to(tmp_path / name)
    (tmp_path / "h.svs").symlink_to(tmp_path / "gone")
    found = found_in(tmp_path, [tmp_path], recursive=True)
    assert found == ["a.dcm", "b.vms", "c.svs", "e.svs", "g.dcm", "h.svs"]


def test_folders_are_searched_as_deep_as_they_go(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*"d" * 300)
    touch(deep, "a.svs")
    limit = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(len(inspect.stack()) + 150)
        found = found_in(deep, [tmp_path / "d"], recursive=True)
    finally:
        sys.setrecursionlimit(limit)
    assert found == ["a.svs"]


def test_a_folder_of_zarr_is_one_slide(tmp_path: Path) -> None:
    touch(tmp_path, "a.ome.zarr/.zgroup", "a.ome.zarr/0/0.0.png", "b.zarr/zarr.json", "b.zarr/0/zarr.json")
    for recursive in (False, True):
        assert found_in(tmp_path, [tmp_path], recursive=recursive) == ["a.ome.zarr", "b.zarr"]
    assert found_in(tmp_path, [tmp_path / "b.zarr"]) == ["b.zarr"]
    assert folders(find_slides([tmp_path])) == ["a.ome", "b"]


def test_a_dicom_series_is_one_slide_by_its_first_file(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_dicom_series(tmp_path / name, pyramid(texture(90, 80), 2))
    for file in (tmp_path / "two").iterdir():
        file.rename(tmp_path / "one" / f"two-{file.name}")
    touch(tmp_path, "one/broken.dcm")
    assert found_in(tmp_path, [tmp_path / "one"]) == ["one/broken.dcm", "one/level-0.dcm", "one/two-level-0.dcm"]


def test_the_pictures_of_vms_and_mirax_are_no_slides(tmp_path: Path) -> None:
    write_vms(tmp_path / "a.vms", [texture(64, 64), texture(64, 64)], texture(32, 64))
    write_mirax(tmp_path / "b.mrxs", {(0, 0): texture(64, 64)}, grid=(2, 2))
    touch(tmp_path, "b/picture.png", "c.jpg")
    assert found_in(tmp_path, [tmp_path], recursive=True) == ["a.vms", "b.mrxs", "c.jpg"]
