"""Measurements behind docs/performance.md; each module is run as `python -m benchmarks.<name>`."""
