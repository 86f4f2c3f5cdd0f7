from __future__ import annotations

import pytest

from scanner.labels.cases import patient_of


@pytest.mark.parametrize("number", ["03", "07", "11", "17", "18"])
def test_twins_on_two_scanners_are_one_patient(number):
    assert patient_of(f"A{number}") == patient_of(f"H{number}")


def test_cases_of_the_contest_with_other_numbers_are_other_patients():
    cases = [f"H{number:02}" for number in range(3, 19)]
    assert len({patient_of(case) for case in cases}) == len(cases)


@pytest.mark.parametrize("case", ["field-5", "A1", "A003", "B03", "H19", "A02", "MIDOG21_AperioCS2", "", "xA03"])
def test_all_other_cases_are_patients_of_their_own(case):
    assert patient_of(case) == case
