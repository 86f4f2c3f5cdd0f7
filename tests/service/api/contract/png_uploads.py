"""Hooks of schemathesis: in a form it makes up random bytes for a file, and no schema can say what a slide is."""

import base64
from typing import Any

import schemathesis
from hypothesis import strategies

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")
for media_type in ("image/png", "image/jpeg", "image/webp"):
    schemathesis.openapi.media_type(media_type, strategies.just(PNG))
schemathesis.openapi.media_type("application/offset+octet-stream", strategies.just(PNG))


@schemathesis.hook
def map_query(_context: schemathesis.HookContext, query: dict[str, Any] | None) -> dict[str, Any] | None:
    """Ask for the picture's only image wherever a valid number is asked for: how many a file holds, no schema says."""
    asked = str((query or {}).get("image", ""))
    return {**query, "image": 0} if query and asked.isdecimal() else query
