"""From the layers of a patch classifier to layers that run on a whole tile: as fragments or dilated."""
