"""Many slides on one machine."""
