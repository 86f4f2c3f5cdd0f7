"""The reference of the HTTP API, from its OpenAPI document."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

from docs.generate.markdown import code, sentence, table
from service.api.app import create_app
from service.settings import Settings

HEAD = """# HTTP API

This page is generated from the OpenAPI document, which the service itself answers at `/openapi.json`; `/docs` shows it
with forms to try each request. [How the API behaves](../service/api.md) explains answers, states, uploads and errors;
[Recipes](../service/recipes.md) has commands to copy.

Every request except `/healthz`, `/readyz`, the pages and `OPTIONS /uploads/tus` needs a key where keys are on
([Security](../service/security.md)). A refusal is a `Problem` (`application/problem+json`, RFC 9457).
"""
#: Answers that every operation may give; they are said once.
_ALWAYS = {"400", "401", "403", "422", "429", "503"}


@cache
def openapi() -> dict[str, Any]:
    """The document of a service with default settings."""
    return create_app(Settings()).openapi()


def http_page() -> str:
    """The page: operations, then what they send and answer."""
    document = openapi()
    rows = [
        [f"[`{method.upper()} {path}`](#{anchor(method, path)})", operation["summary"]]
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    sections = [
        _operation(method, path, operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    schemas = [_schema(name, schema) for name, schema in sorted(_used_schemas(document).items())]
    return "\n".join(
        [HEAD, "## Operations\n", table(["operation", "what it does"], rows), *sections, "## Objects\n", *schemas]
    )


def anchor(method: str, path: str) -> str:
    """The anchor of an operation."""
    return re.sub(r"\W+", "-", f"{method}{path}").strip("-").lower()


def _used_schemas(document: dict[str, Any]) -> dict[str, Any]:
    """The schemas that an operation refers to, or one of these schemas."""
    schemas = document["components"]["schemas"]
    used: set[str] = set()
    waiting = _references(document["paths"])
    while waiting:
        name = waiting.pop()
        used.add(name)
        waiting |= _references(schemas[name]) - used
    return {name: schemas[name] for name in used}


def _references(part: Any) -> set[str]:
    return set(re.findall(r"#/components/schemas/(\w+)", json.dumps(part)))


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    said = re.sub(r"(\{\"source\".*?\}\})", r"`\1`", operation.get("description", ""))
    parts = [
        f"### `{method.upper()} {path}` {{ #{anchor(method, path)} }}\n",
        f"{sentence(operation['summary'])} {said}\n",
    ]
    if parameters := operation.get("parameters"):
        rows = [
            [code(p["name"]), p["in"], _type(p["schema"]).removesuffix(" or null"), sentence(p.get("description", ""))]
            for p in parameters
        ]
        parts.append(table(["parameter", "in", "type", "meaning"], rows))
    if body := operation.get("requestBody"):
        parts.append(f"Body: {', '.join(code(kind) for kind in body['content'])}.\n")
    answers = [_answer(status, answer) for status, answer in operation["responses"].items() if status not in _ALWAYS]
    parts.append(table(["status", "answer", "content"], answers))
    return "\n".join(parts)


def _answer(status: str, answer: dict[str, Any]) -> list[str]:
    content = answer.get("content", {})
    kinds = [
        f"{code(kind)}{' ' + _type(body['schema']) if '$ref' in body.get('schema', {}) else ''}"
        for kind, body in content.items()
    ]
    said = {"Successful Response": "Done", "Success": "Done"}.get(answer["description"], answer["description"])
    return [status, said, ", ".join(kinds)]


def _schema(name: str, schema: dict[str, Any]) -> str:
    parts = [f"### {name} {{ #object-{name.lower()} }}\n"]
    if said := schema.get("description"):
        parts.append(f"{sentence(said)}\n")
    if choices := schema.get("enum"):
        parts.append(f"One of {', '.join(map(code, choices))}.\n")
    required = schema.get("required", [])
    rows = [
        [code(key), _type(value), "" if key in required else "may be absent", sentence(value.get("description", ""))]
        for key, value in schema.get("properties", {}).items()
    ]
    if rows:
        parts.append(table(["field", "type", "", "meaning"], rows))
    return "\n".join(parts)


def _type(schema: dict[str, Any]) -> str:
    if reference := schema.get("$ref"):
        name = reference.rpartition("/")[2]
        return f"[{name}](#object-{name.lower()})"
    if choices := schema.get("anyOf"):
        return " or ".join(_type(choice) for choice in choices)
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if "const" in schema:
        return code(schema["const"])
    if "enum" in schema:
        return " or ".join(code(value) for value in schema["enum"])
    return str(schema.get("type", "any"))
