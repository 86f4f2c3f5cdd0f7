"""A slide that has gone is no damaged slide: its scan fails, and is repeated when it is back."""

from __future__ import annotations

import errno
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scanner import scan
from scanner.batch.batch import BatchOrder, scan_batch
from scanner.batch.outcomes import Status
from scanner.batch.worklist import Job
from scanner.errors import DamagedSlideError, SlideMemoryError, SlideNotFoundError, UnreadableRegionError
from scanner.slides import open_slide
from scanner.slides.files.foreign import foreign_errors_become, reading_region
from tests.factories.slides import pyramid, texture, write_pyramid
from tests.factories.vendor import write_ndpi
from tests.factories.zarr import write_ome_zarr
from tests.networks.small_models import random_model

#: More than is read at once of a Zarr.
PIXELS = texture(640, 640)


def as_svs(folder: Path) -> Path:
    write_pyramid(folder / "a.svs", PIXELS, levels=1)
    return folder / "a.svs"


def as_ndpi(folder: Path) -> Path:
    write_ndpi(folder / "a.ndpi", pyramid(PIXELS, 2))
    return folder / "a.ndpi"


def as_zarr(folder: Path) -> Path:
    write_ome_zarr(folder / "a.zarr", pyramid(PIXELS, 2))
    return folder / "a.zarr"


def make_unreadable(path: Path) -> None:
    """Every file of this process that lies at `path` becomes one whose every read is an error of the disk."""
    broken = os.open("/proc/self/mem", os.O_RDONLY)
    for entry in Path("/proc/self/fd").iterdir():
        if entry.is_symlink() and str(path) == os.readlink(entry):
            os.dup2(broken, int(entry.name))
    os.close(broken)


@pytest.mark.parametrize("write", [as_svs, as_ndpi, as_zarr])
def test_a_slide_that_goes_while_it_is_read_is_named(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    path = write(tmp_path)
    with open_slide(path) as slide:
        make_unreadable(path)
        path.rename(tmp_path / "elsewhere")
        with pytest.raises(SlideNotFoundError, match=r"No such file.*scan it again when it is back"):
            slide.read(0, (0, 0, 200, 200))


def test_an_error_of_the_disk_alone_is_damage(tmp_path: Path) -> None:
    path = as_svs(tmp_path)
    with open_slide(path) as slide:
        make_unreadable(path)
        with pytest.raises(UnreadableRegionError, match="Input/output error"):
            slide.read(0, (0, 0, 200, 200))


def test_a_stale_handle_is_no_damage_though_the_file_is_there_again(tmp_path: Path) -> None:
    path = as_svs(tmp_path)
    with pytest.raises(SlideNotFoundError, match=r"a\.svs: Stale file handle"), reading_region(path, "a tile"):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))


def test_a_scan_goes_on_when_the_share_is_back(tmp_path: Path) -> None:
    path, model, away = as_zarr(tmp_path), random_model(stride=4), tmp_path / "away"
    expected = scan(path, model, tmp_path / "whole", tile_size=128)
    tiles = 0

    def unmount(_progress: object) -> None:
        nonlocal tiles
        tiles += 1
        if tiles == 1:
            path.rename(away)

    with pytest.raises(SlideNotFoundError, match="scan it again"):
        scan(path, model, tmp_path / "out", tile_size=128, on_progress=unmount, workers=1)
    assert not (tmp_path / "out" / "run.json").exists()
    (outcome,) = scan_batch([Job(path, tmp_path / "out")], BatchOrder(model, {"tile_size": 128}), tmp_path)
    assert outcome.status is Status.FAILED
    away.rename(path)
    result = scan(path, model, tmp_path / "out", tile_size=128)
    assert result.unreadable == ()
    np.testing.assert_array_equal(np.asarray(result.map), np.asarray(expected.map))
    assert (tmp_path / "out" / "map.ome.tiff").read_bytes() == (tmp_path / "whole" / "map.ome.tiff").read_bytes()


@pytest.mark.parametrize(
    ("usual", "told"), [(DamagedSlideError, SlideMemoryError), (UnreadableRegionError, UnreadableRegionError)]
)
def test_a_slide_too_large_for_the_memory_is_not_called_damaged(usual: type, told: type) -> None:
    with pytest.raises(told, match="not enough memory"), foreign_errors_become(usual, "a.png: damaged image"):
        raise MemoryError


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyError("datasets"), "it lacks 'datasets'"),
        (KeyError(), "it lacks a part"),
        (struct.error("unpack_from requires a buffer of at least 14 bytes"), "it ends before its content does"),
        (EOFError(), "it ends before its content does"),
        (OSError("image file is truncated (3 bytes not processed)"), "it ends before its content does"),
        (FileNotFoundError(2, "No such file or directory", "/secret"), "No such file or directory"),
        (json.JSONDecodeError("Expecting value", "{", 1), "its JSON is wrong from line 1, column 2 on"),
        (
            IndexError("list index out of range"),
            "its parts contradict each other (IndexError: list",
        ),
        (
            ValueError("not enough values to unpack (expected 1, got 0)"),
            "its parts contradict each other (ValueError: ",
        ),
        (ValueError("<COMPRESSION.JPEG_LOSSY: 34892> is not there"), "JPEG_LOSSY is not there"),
        (OSError("cannot identify image file <_io.BytesIO object at 0x7f00>"), "cannot identify image file"),
        (RuntimeError("two\n  lines"), "two lines"),
        (ZeroDivisionError(), "its parts contradict each other (ZeroDivisionError)"),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_what_libraries_say_is_made_fit_for_people(error: Exception, words: str) -> None:
    with pytest.raises(DamagedSlideError) as raised, foreign_errors_become(DamagedSlideError, "a.svs: damaged"):
        raise error
    assert str(raised.value).startswith(f"a.svs: damaged: {words}")
    assert str(raised.value).endswith("; copy it again from where it came, and compare the sizes")
    with pytest.raises(UnreadableRegionError) as region, foreign_errors_become(UnreadableRegionError, "tile 3"):
        raise error  # One piece of a slide needs no other copy.
    assert "copy it again" not in str(region.value)
