"""How slides arrive: uploads, forms, archives, URLs, paths on the server."""
