"""Files on disk: a file is whole or absent, is held by one process, and is text in whatever encoding."""
