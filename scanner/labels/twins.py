"""Twins: the same cases, and many of the same figures, on a second scanner; the same case in any split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from scanner.errors import SettingsError
from scanner.labels.cases import patient_of
from scanner.labels.fields import LabelledField, read_fields, read_figures


def read_twins(
    data: Path, fields: str, figures: str, *, mpp: float, scanner: str, cases: Sequence[str]
) -> tuple[tuple[LabelledField, ...], tuple[LabelledField, ...]]:
    """Fields and cut-out figures of a second scanner, under the names of the cases that they are of.

    Parameters
    ----------
    data : Path
    fields, figures : str
        Sub-folders of `data`, "" for none.
    mpp : float
    scanner : str
        What the cut-outs have for their source.
    cases : sequence of str
        Of the first scanner.

    Raises
    ------
    SettingsError
        A field or cut-out is of none of the cases: whether it may be trained on could not be told.
    """
    read = read_fields(data / fields, mpp=mpp) if fields else ()
    cut_out = read_figures(data / figures, mpp=mpp) if figures else ()
    named = tuple(replace(one, case=_case_of(one, cases)) for one in read)
    return named, tuple(replace(one, case=_case_of(one, cases), source=scanner) for one in cut_out)


def _case_of(field: LabelledField, cases: Sequence[str]) -> str:
    for case in cases:
        if patient_of(case) == patient_of(field.case):
            return case
    raise SettingsError(f"{field.path}: case {field.case} is none of {', '.join(cases)} on a second scanner")
