"""How a slide arrives: uploads, forms, archives, URLs, paths of the server."""
