"""How good detections are: rules of matching, curves, intervals."""
