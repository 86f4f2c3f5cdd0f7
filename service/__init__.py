"""The HTTP service around the scanner: uploads, jobs, workers, results."""
