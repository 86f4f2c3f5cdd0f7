"""A classifier as a graph of layers, and the plan of its outputs in plain integers."""
