"""How much light each 8-bit value stands for, said once: what a stain is measured and normalised by."""

from __future__ import annotations

import numpy as np

#: Of each 8-bit value (base 10, white 255 = 0, black about 2.4), float64.
OPTICAL_DENSITY = -np.log10((np.arange(256) + 1.0) / 256.0)
