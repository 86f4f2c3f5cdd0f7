"""Which files a batch scans, and that no two slides share a result folder."""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.batch.result_folders import place_key
from scanner.batch.worklist import FoundSlide, find_slides, plan_jobs
from tests.factories.dicom import write_dicom_series
from tests.factories.slides import pyramid, texture, write_pyramid
from tests.factories.vendor import write_mirax, write_vms


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def found_in(root: Path, paths: Iterable[Path], *, recursive: bool = False) -> list[str]:
    return [str(slide.path.relative_to(root)) for slide in find_slides(paths, recursive=recursive)]


def kept(*names: str) -> list[FoundSlide]:
    return [FoundSlide(Path("/slides", name), Path(name)) for name in names]


def folders(slides: Iterable[FoundSlide]) -> list[str]:
    return [str(job.folder.relative_to("out")) for job in plan_jobs(slides, Path("out"))]


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


def test_results_lie_under_the_slide_name_without_its_last_suffix() -> None:
    assert folders(kept("a.svs", "case.1.ome.tiff", "below/a.svs")) == ["a", "case.1.ome", "below/a"]


def test_slides_that_would_collide_keep_their_suffix() -> None:
    assert folders(kept("a.svs", "a.tif", "b.svs")) == ["a.svs", "a.tif", "b"]
    # On some file systems A and a are one folder.
    assert folders(kept("A.svs", "a.tif")) == ["A.svs", "a.tif"]


def test_slides_of_one_name_keep_the_name_of_their_folder() -> None:
    twins = [FoundSlide(Path("/slides/one/a.svs"), Path("a.svs")), FoundSlide(Path("/slides/two/a.svs"), Path("a.svs"))]
    assert folders(twins) == ["one/a.svs", "two/a.svs"]


def test_a_slide_named_twice_is_scanned_once(tmp_path: Path) -> None:
    touch(tmp_path, "a.svs")
    assert len(plan_jobs(find_slides([tmp_path, tmp_path / "a.svs"]), tmp_path / "out")) == 1


def marked(*places: str) -> list[str]:
    """Without the hashes behind them."""
    return [re.sub("~[0-9a-f]{8}$", "~", place) for place in places]


@pytest.mark.parametrize(
    "names",
    [
        ("s.tif", "S.TIF"),
        ("M\u00fc.svs", "Mu\u0308.svs"),
        ("M\u00dc.svs", "Mu\u0308.SVS"),
        ("s.svs", "s.svs ", "s.svs."),
        ("\udcfc.svs", "\udcfc.SVS"),
    ],
)
def test_names_that_are_one_on_some_file_system_have_folders_of_their_own(names: tuple[str, ...]) -> None:
    places = folders(kept(*names))
    assert marked(*places) == [f"{name}~" for name in names]
    assert len({place_key(Path(place)) for place in places}) == len(names)
    # Neither their order nor others change them.
    assert folders(kept("a.svs", *reversed(names))) == ["a", *reversed(places)]


def test_slides_of_one_name_in_folders_of_one_name_have_folders_of_their_own() -> None:
    twins = [FoundSlide(Path("/x/one/a.svs"), Path("a.svs")), FoundSlide(Path("/y/one/a.svs"), Path("a.svs"))]
    places = folders(twins)
    assert marked(*places) == ["a.svs~", "a.svs~"]
    assert places[0] != places[1]


def test_the_longest_names_have_folders_whose_names_can_be() -> None:
    longest = "\u00fc" * 125 + "a.svs"  # 255 bytes
    places = folders(kept(longest, longest.upper()))
    assert places[0] != places[1]
    assert all(len(os.fsencode(place)) <= 255 for place in places)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        (".svs", ".svs"), ("..svs", "..svs"), ("...svs", "...svs"), ("a.", "a."), ("a..svs", "a."),
        ("batch.json.svs", "batch.json.svs"), ("Batch.HTML.tif", "Batch.HTML.tif"),
        ("-a.svs", "-a"), ("a b .svs", "a b "),
    ],
)  # fmt: skip
def test_no_name_leads_out_of_the_results_or_into_a_file_of_the_batch(name: str, place: str) -> None:
    assert folders(kept(name)) == [place]


def test_a_batch_folder_has_a_name_also_where_the_path_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a.zarr/zarr.json")
    monkeypatch.chdir(tmp_path / "a.zarr")
    for path in (Path(), Path("../a.zarr/.")):
        assert folders(find_slides([path])) == ["a"]


def test_what_a_user_names_twice_is_scanned_by_neither() -> None:
    first, second, third = plan_jobs(
        [
            FoundSlide(Path("/x/a.svs"), Path("a.svs"), place=Path("one")),
            FoundSlide(Path("/x/b.svs"), Path("b.svs"), place=Path("ONE")),
            FoundSlide(Path("/x/c.svs"), Path("c.svs"), place=Path("batch.json")),
        ],
        Path("out"),
    )
    assert first.fault == "/x/a.svs: its result folder one is that of /x/b.svs too; give each an id of its own"
    assert "/x/b.svs: its result folder ONE is that of /x/a.svs" in second.fault
    assert "which a batch writes" in third.fault


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
        ("a.svs.gz", "unpack it"), ("a.ome.zarr.zip", "unpack it"), ("a.TIF.XZ", "unpack it"),
        ("a.svs.part", "unfinished copy"), ("a.ndpi.crdownload", "unfinished copy"),
    ],
)  # fmt: skip
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


name_parts = st.lists(st.sampled_from(["a", "A", "b", "svs", "tif"]), min_size=1, max_size=3).map(".".join)
names = st.lists(st.lists(name_parts, min_size=1, max_size=2).map("/".join), max_size=8, unique=True)


@given(names)
def test_no_two_slides_share_a_folder(some: list[str]) -> None:
    given_folders = folders(kept(*some))
    assert len({folder.casefold() for folder in given_folders}) == len(some)


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
