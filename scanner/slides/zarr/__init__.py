"""Slides in OME-Zarr."""
