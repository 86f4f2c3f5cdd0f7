"""Share links: whoever has one sees one job, and nothing else, until it expires or is revoked."""
