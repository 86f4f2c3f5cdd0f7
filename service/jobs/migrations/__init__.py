"""The store's schema, step by step: what an older version has made is brought to the present one without loss."""
