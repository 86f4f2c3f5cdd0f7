from pathlib import Path

import pytest

from scanner.errors import OutputError, UnreadableRegionError
from scanner.files.atomic import replacing, write_text


def test_a_file_appears_whole(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "\N{MICRO SIGN}m\n")
    assert (tmp_path / "a.txt").read_bytes() == b"\xc2\xb5m\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError), replacing(path) as temporary:
        temporary.write_text("half of it, then \N{MICRO SIGN}", encoding="ascii")
    assert path.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_what_the_disk_refuses_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "gone" / "a.txt"
    with pytest.raises(OutputError, match=r"gone/a\.txt cannot be written: No such file"):
        write_text(path, "")


def test_a_full_disk_is_an_output_error(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs /dev/full")
    with pytest.raises(OutputError, match="No space left"), replacing(tmp_path / "a.txt"):
        full.write_text("x")


def test_errors_of_the_scan_are_not_called_errors_of_writing(tmp_path: Path) -> None:
    with pytest.raises(UnreadableRegionError), replacing(tmp_path / "a.txt"):
        raise UnreadableRegionError("tile 3")
