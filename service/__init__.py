"""Who asks, and when: the HTTP service around the scanner."""
