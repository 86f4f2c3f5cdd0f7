"""What routes share: the parts of the running service, authentication, request bodies, readiness, metrics."""
