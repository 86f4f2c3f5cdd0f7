"""Logs, traces and the audit trail."""
