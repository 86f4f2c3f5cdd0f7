"""Many slides on many machines."""
