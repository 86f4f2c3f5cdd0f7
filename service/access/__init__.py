"""Authentication, roles, and limits per client."""
