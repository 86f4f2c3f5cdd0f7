"""Pixels of a slide, whatever its file: levels, boxes, colours, resampling, the grid of a scan."""
