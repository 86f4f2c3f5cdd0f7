"""The reference of the service's settings, from the class that holds them."""

from __future__ import annotations

import json
from typing import Any, get_args

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from docs.generate.markdown import code, sentence, table
from service.settings import Settings

HEAD = """# Settings of the service

This page is generated from `service.settings`. Each setting is an environment variable; lists and tables are written as
JSON. The TOML file that `MITOSCAN_CONFIG` names may hold the same settings by their names in lower case, without
`MITOSCAN_`. An environment variable overrides the file; an option of `mitoscan serve` or `mitoscan worker` overrides
both.
"""


def settings_page() -> str:
    """The page: one row a setting."""
    rows = [
        [code(f"MITOSCAN_{name.upper()}"), code(name), code(_default(field)), _said(field)]
        for name, field in Settings.model_fields.items()
    ]
    return f"{HEAD}\n{table(['environment variable', 'in TOML', 'default', 'what it does'], rows)}"


def _default(field: FieldInfo) -> str:
    value: Any = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value is PydanticUndefined or value in ((), {}):
        return ""
    if isinstance(value, dict):
        return json.dumps(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _said(field: FieldInfo) -> str:
    choices = [choice for choice in get_args(field.annotation) if isinstance(choice, str)]
    said = sentence(field.description or "")
    missing = [choice for choice in choices if choice not in said]
    return f"{said} One of {', '.join(map(code, choices))}." if missing else said
