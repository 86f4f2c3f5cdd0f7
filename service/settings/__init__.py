"""Settings of the service: what there is to set, and what values may be."""

from service.settings.rules import GIB, LOOPBACK, LogFormat, LogLevel
from service.settings.settings import Settings

__all__ = ["GIB", "LOOPBACK", "LogFormat", "LogLevel", "Settings"]
