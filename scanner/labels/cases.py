"""Which cases are the same patient: what a split must not cut, and what may not be scored by weights that saw it."""

from __future__ import annotations

import re

#: MITOS-ATYPIA-14 names a case by the letter of its scanner (A: Aperio, H: Hamamatsu) and the number of the patient,
#: 03 to 18: A03 and H03 are one slide on two scanners.
_MITOS14_CASE = re.compile(r"[AH](0[3-9]|1[0-8])")


def patient_of(case: str) -> str:
    """The patient of a case: the number for cases of MITOS-ATYPIA-14, the case itself for all others.

    A case that merely looks like one of that contest is taken for it. That errs on the safe side: weights that saw
    either twin never score the other, and both are resampled together.

    Examples
    --------
    >>> from scanner.labels.cases import patient_of
    >>> patient_of("A03") == patient_of("H03"), patient_of("H03") == patient_of("H04"), patient_of("field-5")
    (True, False, 'field-5')
    """
    named = _MITOS14_CASE.fullmatch(case)
    return f"MITOS-ATYPIA-14 {named[1]}" if named else case
