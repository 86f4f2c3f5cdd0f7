"""The probability map: its store on disk, the unfinished scan that owns it, smoothing, peaks, segmentation."""
