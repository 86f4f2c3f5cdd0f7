"""`mitoscan info`: what is in a slide's file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from models import DEFAULT_MODEL, list_models
from scanner.command import errors
from scanner.errors import ScannerError


def info_command(
    paths: Annotated[list[Path], typer.Argument(help="Slides and fields.", metavar="FILE...")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Say what is in a file: its images with their levels and mpp, what was left out, and what a scan would look at.

    Example: mitoscan info slide.svs
    """
    from scanner.file_report import lines_of

    described = []
    for path in paths:
        try:
            content = _describe(path)
        except ScannerError as error:
            content = {"path": str(path), "error": str(error)}
            errors.print(f"mitoscan: {error}", style="red", markup=False, soft_wrap=True)
        else:
            if not as_json:
                typer.echo("\n".join(lines_of(content)))
        described.append(content)
    if as_json:
        typer.echo(json.dumps(described, indent=2))
    raise typer.Exit(int(any("error" in content for content in described)))


def _describe(path: Path) -> dict[str, Any]:
    from scanner.file_report import describe_contents
    from scanner.slides import describe_file

    card = next(card for card in list_models() if card.name == DEFAULT_MODEL)
    return describe_contents(describe_file(path), card)
