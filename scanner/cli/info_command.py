"""`mitoscan info`: what is in a slide's file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from models import DEFAULT_MODEL, list_models
from scanner.cli.options import errors
from scanner.errors import ScannerError


def info_command(
    paths: Annotated[list[Path], typer.Argument(help="Slides and fields.", metavar="FILE...")],
    check: Annotated[
        bool, typer.Option("--check", help="Compare with OpenSlide: sizes, levels, mpp and sampled pixels.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Show what is in a file: its images with their levels and mpp, what is ignored, and the extent of a scan.

    Example: mitoscan info slide.svs
    """
    from scanner.cli.file_report import lines_of

    described = []
    for path in paths:
        try:
            content = _describe(path, check=check)
        except ScannerError as error:
            content = {"path": str(path), "error": str(error)}
            errors.print(f"mitoscan: {error}", style="red", markup=False, soft_wrap=True)
        else:
            if not as_json:
                typer.echo("\n".join(lines_of(content)))
        described.append(content)
    if as_json:
        typer.echo(json.dumps(described, indent=2))
    raise typer.Exit(int(any("error" in content or content.get("unexplained") for content in described)))


def _describe(path: Path, *, check: bool) -> dict[str, Any]:
    from scanner.cli.file_report import describe_contents, describe_opinion
    from scanner.slides import describe_file

    card = next(card for card in list_models() if card.name == DEFAULT_MODEL)
    content = describe_contents(describe_file(path), card)
    return content | describe_opinion(path) if check else content
