"""Types of the arrays that travel between packages."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: (height, width, channels) uint8, or (N, height, width, channels); RGB, but for a slide that was opened for more
#: channels or fewer.
Pixels = npt.NDArray[np.uint8]
#: (layers, rows, cols) or (rows, cols) float32: probabilities.
FloatMap = npt.NDArray[np.float32]
