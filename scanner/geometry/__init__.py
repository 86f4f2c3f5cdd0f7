"""Boxes, frames, tiles, windows and polygons: plain numbers, no pixels."""
