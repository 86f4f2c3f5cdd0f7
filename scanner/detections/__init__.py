"""From peaks to counted figures: candidates, background, rescoring, hotspots."""
