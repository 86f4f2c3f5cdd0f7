"""The service under load and misuse; each module is run as `python -m benchmarks.service.<name>`."""
