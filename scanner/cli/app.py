"""The command line of the scanner. Results go to files and stdout, progress and errors to stderr."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from models import DEFAULT_MODEL, list_models
from models.card import NOTICE
from scanner.cli.bench_command import bench_command
from scanner.cli.evaluate_command import evaluate_command
from scanner.cli.import_command import committee_command, import_command
from scanner.cli.info_command import info_command
from scanner.cli.options import (
    fail_cleanly,
    open_model,
)
from scanner.cli.scan_command import challenge_command, scan_command
from scanner.cli.training_commands import train_command

app = typer.Typer(
    name="mitoscan",
    help=f"Find mitotic figures in whole slides. {NOTICE}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


app.command("scan")(scan_command)
app.command("grand-challenge")(challenge_command)


@app.command("models")
def models_command(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """List the shipped models."""
    cards = list_models()
    if as_json:
        keys = ("name", "version", "mpp", "patch_size", "stride", "threshold", "radius_um", "sha256")
        typer.echo(json.dumps([{key: getattr(card, key) for key in keys} for card in cards], indent=2))
        return
    for card in cards:
        default = " (default)" if card.name == DEFAULT_MODEL else ""
        typer.echo(
            f"{card.name} {card.version}{default}: {card.architecture}, {card.patch_size} px at {card.mpp} um/px, "
            f"stride {card.stride}, threshold {card.threshold:.3f}"
        )


@app.command("certify")
def certify_command(
    model: Annotated[str, typer.Argument(help="A model, as for scan.")] = DEFAULT_MODEL,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File for the certificate; by default beside the model.")
    ] = None,
) -> None:
    """Measure that a scan with a model equals its classifier, patch by patch, and write a certificate as JSON."""
    loaded = open_model(model)
    from scanner.dense.certify import certify, describe_certificate
    from scanner.files.run_report import write_report
    from scanner.inference.certificates import describe_in_words, keep_certificate

    certificate = fail_cleanly(lambda: describe_certificate(loaded, certify(loaded)))
    if out is None:
        path = fail_cleanly(lambda: keep_certificate(loaded, certificate))
    else:
        path = out
        fail_cleanly(lambda: write_report(out, certificate))
    typer.echo(f"{path}: {describe_in_words(certificate)}")
    raise typer.Exit(not certificate["is_exact"])


@app.command("doctor")
def doctor_command(
    device: Annotated[
        str | None,
        typer.Option(help="Also run one tile on that device in every form and precision, and compare it with the CPU."),
    ] = None,
) -> None:
    """Report what this machine offers, and what is missing."""
    from scanner.cli.doctor import as_table, examine

    findings = examine()
    if device is not None:
        from scanner.cli.doctor_forms import compare_forms

        findings += fail_cleanly(lambda: compare_forms(device))
    typer.echo("\n".join(as_table(findings)))
    raise typer.Exit(not all(finding.is_fine for finding in findings))


app.command("bench")(bench_command)
app.command("info")(info_command)
app.command("import")(import_command)
app.command("committee")(committee_command)
app.command("train")(train_command)
app.command("evaluate")(evaluate_command)
