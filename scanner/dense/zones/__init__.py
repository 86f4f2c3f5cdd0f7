"""Padded networks, exactly: what the padding touches apart, by its place in the patch; the rest dense.

Along one axis, an element of a layer is the i-th from the top of its patch, if padding above can reach it; the i-th
from the bottom, if padding below can; or in the middle, where it is the same for all patches that hold it. The middle
is one dense map. The i-th from the top depends on where its patch begins, along this axis, but along the other axis it
is dense again as long as it is in that axis' middle. So a layer is nine regions: a middle that all patches share, four
strips that the patches of a row or column share, and four corners of each patch's own.
"""

from scanner.dense.zones.zoned_net import ZonedNet, zone

__all__ = ["ZonedNet", "zone"]
