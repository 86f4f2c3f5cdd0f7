"""HTTP: the application and its middleware."""
