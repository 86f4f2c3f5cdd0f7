"""Where a network runs: the device, the queue in front of it, its memory, and its forms on a GPU."""
