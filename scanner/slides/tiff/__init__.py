"""Slides in TIFF and its kin: pages, pyramids, OME-XML, colours."""
