"""A resumable upload as it lies on disk: its promised bytes, its owner, its note."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from service.access.limits import StorageFullError, TooManyRequestsError
from service.settings import Settings
from service.slides_in import tus
from service.slides_in.tus import Upload, UploadBusyError


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path, min_free_bytes=0)


def test_promised_bytes_are_reserved_and_given_back(own: Settings) -> None:
    size, upload = 256 << 20, Upload("a" * 32, "ann", "slide.tif", 256 << 20)
    tus.create(own, upload)
    file = tus.tus_folder(own) / upload.id / tus.BYTES
    assert file.stat().st_size == 0
    assert file.stat().st_blocks * 512 >= size
    tus.remove(own, upload.id)
    assert not file.parent.exists()
    full = own.model_copy(update={"min_free_bytes": shutil.disk_usage(own.data).free - 1000})
    with pytest.raises(StorageFullError):
        tus.create(full, upload)
    assert not file.parent.exists()


def test_a_client_has_so_many_unfinished_uploads(own: Settings) -> None:
    for number in range(tus.MAX_UNFINISHED):
        tus.create(own, Upload(f"{number:032x}", "ann", "slide.tif", 1))
    with pytest.raises(TooManyRequestsError):
        tus.create(own, Upload("f" * 32, "ann", "slide.tif", 1))
    tus.create(own, Upload("f" * 32, "bob", "slide.tif", 1))


def test_an_upload_has_one_owner_at_a_time_among_all_processes(own: Settings) -> None:
    upload = Upload("b" * 32, "ann", "slide.tif", 10)
    tus.create(own, upload)
    with tus.locked(own, upload.id), pytest.raises(UploadBusyError), tus.locked(own, upload.id):
        pass
    with tus.locked(own, upload.id):
        pass


def test_notes_that_are_not_ours_are_no_uploads(own: Settings) -> None:
    for number, text in enumerate(("", "{}", "[]", json.dumps({"id": 1, "new": 2}))):
        folder = tus.tus_folder(own) / f"{number:032x}"
        folder.mkdir(parents=True)
        (folder / tus.NOTE).write_text(text)
        with pytest.raises(tus.UploadNotFoundError):
            tus.find(own, folder.name)
    assert list(tus.unfinished(own, "ann")) == []
