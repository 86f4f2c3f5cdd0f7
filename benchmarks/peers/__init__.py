"""Whole scans beside other tools: from a slide's file to detections on disk, the same network, one run."""
