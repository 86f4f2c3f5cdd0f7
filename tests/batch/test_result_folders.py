"""The result folders of a batch: no two slides share one."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.batch.result_folders import place_key
from scanner.batch.worklist import FoundSlide, find_slides, plan_jobs
from tests.batch.batches import folders, touch


def kept(*names: str) -> list[FoundSlide]:
    return [FoundSlide(Path("/slides", name), Path(name)) for name in names]


def test_results_lie_under_the_slide_name_without_its_last_suffix() -> None:
    assert folders(kept("a.svs", "case.1.ome.tiff", "below/a.svs")) == ["a", "case.1.ome", "below/a"]


def test_slides_that_would_collide_keep_their_suffix() -> None:
    assert folders(kept("a.svs", "a.tif", "b.svs")) == ["a.svs", "a.tif", "b"]
    # On some file systems A and a are one folder.
    assert folders(kept("A.svs", "a.tif")) == ["A.svs", "a.tif"]


def test_slides_of_one_name_keep_the_name_of_their_folder() -> None:
    twins = [FoundSlide(Path("/slides/one/a.svs"), Path("a.svs")), FoundSlide(Path("/slides/two/a.svs"), Path("a.svs"))]
    assert folders(twins) == ["one/a.svs", "two/a.svs"]


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
        (".svs", ".svs"),
        ("..svs", "..svs"),
        ("...svs", "...svs"),
        ("a.", "a."),
        ("a..svs", "a."),
        ("batch.json.svs", "batch.json.svs"),
        ("Batch.HTML.tif", "Batch.HTML.tif"),
        ("-a.svs", "-a"),
        ("a b .svs", "a b "),
    ],
)
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
    assert first.fault == "/x/a.svs: its result folder one is also that of /x/b.svs; give each its own id"
    assert "/x/b.svs: its result folder ONE is also that of /x/a.svs" in second.fault
    assert "a file that a batch writes" in third.fault


name_parts = st.lists(st.sampled_from(["a", "A", "b", "svs", "tif"]), min_size=1, max_size=3).map(".".join)


names = st.lists(st.lists(name_parts, min_size=1, max_size=2).map("/".join), max_size=8, unique=True)


@given(names)
def test_no_two_slides_share_a_folder(some: list[str]) -> None:
    given_folders = folders(kept(*some))
    assert len({folder.casefold() for folder in given_folders}) == len(some)
