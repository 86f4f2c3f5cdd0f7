"""The secret of links: made once, for all processes, in a file that only the service reads."""

from __future__ import annotations

import multiprocessing
import stat
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.settings import Settings
from service.settings.rules import MIN_SECRET
from service.sharing.secret import NAME, ShareSecret, SharingOffError


def secret_of(folder: Path, **said: str) -> ShareSecret:
    return ShareSecret(Settings(data=folder, **said))


def make(folder: Path) -> str:
    return secret_of(folder).read_or_make()


def test_it_is_made_once_and_only_the_owner_reads_it(tmp_path: Path) -> None:
    assert secret_of(tmp_path).read() is None
    with multiprocessing.get_context("fork").Pool(8) as pool:
        made = set(pool.map(make, [tmp_path] * 64, chunksize=1))
    assert len(made) == 1
    assert len(next(iter(made))) >= MIN_SECRET
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600
    assert secret_of(tmp_path).read() == made.pop()


def test_who_removes_the_file_gets_another_one(tmp_path: Path) -> None:
    own = secret_of(tmp_path)
    first = own.read_or_make()
    (tmp_path / NAME).unlink()
    assert own.read() is None
    assert own.read_or_make() != first


@pytest.mark.parametrize("content", ["", "short", "\N{SNOWMAN}" * 40])
def test_a_file_that_is_no_secret_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / NAME).write_text(content, encoding="utf-8")
    assert secret_of(tmp_path).read() is None
    with pytest.raises(SharingOffError, match=rf"{NAME} in the data folder is no secret.*remove it"):
        make(tmp_path)
    assert (tmp_path / NAME).read_text(encoding="utf-8") == content


def test_a_folder_that_takes_no_file_is_told_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(SharingOffError, match="set share_secret"):
        make(tmp_path / "nowhere")


def test_a_setting_takes_its_place(tmp_path: Path) -> None:
    own = secret_of(tmp_path, share_secret="x" * MIN_SECRET)
    assert own.read_or_make() == own.read() == "x" * MIN_SECRET
    assert list(tmp_path.iterdir()) == []
    assert "xxxx" not in repr(Settings(data=tmp_path, share_secret="x" * MIN_SECRET))


@pytest.mark.parametrize("weak", ["x" * (MIN_SECRET - 1), f"ssh-rsa {'A' * MIN_SECRET}"])
def test_a_weak_secret_is_refused_and_not_shown(tmp_path: Path, weak: str) -> None:
    with pytest.raises(ValidationError) as refused:
        secret_of(tmp_path, share_secret=weak)
    said = refused.value.errors()[0]["msg"]
    assert "openssl rand" in said
    assert weak not in said
