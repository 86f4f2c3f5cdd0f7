"""Tiles through the network: read ahead, queue, device, map; and what certifies the numbers."""
