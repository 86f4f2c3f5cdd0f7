"""Ways to get the numbers of the dense net, raced on one machine: `python -m benchmarks.dense`."""
