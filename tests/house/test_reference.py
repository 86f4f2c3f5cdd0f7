"""The generated pages hold everything that the code has, and everything that it has explains itself."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

import pytest

from docs.generate.cards import card_pages
from docs.generate.command_line import command_line_page, commands
from docs.generate.http import anchor, http_page, openapi
from docs.generate.python_api import public_names, python_page
from docs.generate.settings import settings_page
from models import ModelCard, list_models
from service.settings import Settings

COMMANDS = commands()


def shown(command: Any) -> list[Any]:
    return [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_option_and_argument_has_help(name: str) -> None:
    assert COMMANDS[name].help
    assert [parameter.name for parameter in shown(COMMANDS[name]) if not parameter.help] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_of_the_command_line_has_every_option_and_no_other(name: str) -> None:
    parts = re.split(r"^## mitoscan (\S+)$", command_line_page(), flags=re.MULTILINE)
    section = dict(zip(parts[1::2], parts[2::2], strict=True))[name]
    real = {
        option
        for parameter in shown(COMMANDS[name])
        if parameter.param_type_name == "option"
        for option in [*parameter.opts, *parameter.secondary_opts]
    }
    rows = re.findall(r"^\| (`-.*?) \|", section, re.MULTILINE)
    assert {option for row in rows for option in re.findall(r"`(--?[a-z-]+)`", row)} == real


def test_the_page_of_the_command_line_has_every_command() -> None:
    assert re.findall(r"^## mitoscan (\S+)$", command_line_page(), re.MULTILINE) == list(COMMANDS)


def test_the_page_of_the_http_api_has_every_operation_with_its_meaning() -> None:
    page = http_page()
    for path, operations in openapi()["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"]
            assert f"### `{method.upper()} {path}` {{ #{anchor(method, path)} }}" in page


def test_the_page_of_the_settings_has_every_setting_with_its_meaning() -> None:
    page = settings_page()
    for name, field in Settings.model_fields.items():
        assert field.description, name
        row = next(line for line in page.splitlines() if line.startswith(f"| `MITOSCAN_{name.upper()}` | `{name}` |"))
        assert field.description.strip().rstrip(".")[1:] in row.replace("\\|", "|")


def test_the_page_of_the_python_api_has_every_public_name_once() -> None:
    names = re.findall(r"^::: (\S+)$", python_page(), re.MULTILINE)
    assert sorted(names) == sorted(public_names())
    assert {"scanner.scan", "scanner.densify", "scanner.open_slide", "models.load_model", "service.client.Client"} <= {
        *names
    }


def test_every_shipped_model_has_a_page_that_explains_every_field_of_its_card() -> None:
    pages = card_pages()
    assert pages.keys() == {f"reference/models/{card.name}.md" for card in list_models()}
    apart = {"name", "version", "licence", "intended_use", "limits", "measured", "training", "arguments"}
    for page in pages.values():
        assert (
            set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
            >= {field.name for field in fields(ModelCard)} - apart
        )
