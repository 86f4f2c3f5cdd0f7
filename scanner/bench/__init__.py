"""mitoscan bench: what the dense net costs on this machine, beside every other way to get the same numbers."""
