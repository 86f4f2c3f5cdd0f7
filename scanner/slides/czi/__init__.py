"""Slides in CZI."""
