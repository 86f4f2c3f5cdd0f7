"""What a finished job shows."""
