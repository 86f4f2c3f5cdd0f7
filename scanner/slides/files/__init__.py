"""A slide's file before a reader opens it: kind, companions, fingerprint; and the errors of other libraries."""
