"""What routes share: the parts of the running service, who asks, bodies, readiness, metrics."""
