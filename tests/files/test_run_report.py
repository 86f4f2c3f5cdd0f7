from pathlib import Path, PurePosixPath

import numpy as np
import pytest

from scanner.files.run_report import read_report, write_report


def test_a_report_reads_back(tmp_path: Path) -> None:
    report = {"count": np.int64(3), "mpp": np.float64(0.25), "slide": PurePosixPath("a/b.svs"), "hotspots": [{"x": 1}]}
    write_report(tmp_path / "run.json", report)
    assert read_report(tmp_path / "run.json") == {"count": 3, "mpp": 0.25, "slide": "a/b.svs", "hotspots": [{"x": 1}]}


def test_the_order_of_keys_does_not_change_the_file(tmp_path: Path) -> None:
    write_report(tmp_path / "a.json", {"a": 1, "b": {"c": 2, "d": 3}})
    write_report(tmp_path / "b.json", {"b": {"d": 3, "c": 2}, "a": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_lacks_are_refused(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_report(tmp_path / "run.json", {"density": value})
    assert list(tmp_path.iterdir()) == []


def test_strangers_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="of type set"):
        write_report(tmp_path / "run.json", {"tags": {"a"}})
