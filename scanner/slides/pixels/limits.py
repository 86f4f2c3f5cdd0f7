"""Sizes beyond which a file is damaged or cannot be read, whatever its format."""

from __future__ import annotations

#: A longer side is no slide (a 300 mm slide at 0.05 um/px has 6e6) but a broken header.
MAX_SIDE = 2**24  # px
#: A tile, strip or chunk is decoded whole.
MAX_TILE_AREA = 2**28  # px
