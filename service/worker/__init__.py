"""The process that scans."""
