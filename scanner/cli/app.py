"""The command line of the scanner. Results go to files and stdout, progress and errors to stderr."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from models import DEFAULT_MODEL, list_models
from models.card import NOTICE
from scanner.batch.outcomes import assumed_mpp
from scanner.cli.bench_command import bench_command
from scanner.cli.challenge_input import find_image, mounted_model
from scanner.cli.import_command import committee_command, import_command
from scanner.cli.info_command import info_command
from scanner.cli.options import (
    BackgroundOption,
    DeviceOption,
    EngineOption,
    ExportOption,
    GpuFormOption,
    HotspotOption,
    HotspotsOption,
    ImageOption,
    MaskOption,
    ModelOption,
    MppOption,
    PrecisionOption,
    ScanStrideOption,
    ThresholdOption,
    end_on_sigterm,
    fail_cleanly,
    failure,
    loading,
    open_model,
    say_assumption,
    stride_keywords,
)
from scanner.cli.training_commands import evaluate_command, train_command
from scanner.settings import ScanSettings

#: Places that --verify-tiling scans again.
VERIFIED_PLACES = 16

app = typer.Typer(
    name="mitoscan",
    help=f"Find mitotic figures in whole slides. {NOTICE}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.command("scan")
def scan_command(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results: one sub-folder per slide.")],
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Slides, fields, folders of them, manifests (.csv).", metavar="PATH...")
    ] = None,
    model: ModelOption = DEFAULT_MODEL,
    device: DeviceOption = "auto",
    stride: ScanStrideOption = None,
    threshold: ThresholdOption = None,
    mpp: MppOption = None,
    image: ImageOption = None,
    engine: EngineOption = "dense",
    precision: PrecisionOption = "float32",
    gpu_form: GpuFormOption = "dilation",
    tile_size: Annotated[int | None, typer.Option(help="Side of a tile, px. Never changes results.")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Threads that read ahead; 2, or on a GPU one per processor, if left out.")
    ] = None,
    tissue: Annotated[bool, typer.Option("--tissue/--no-tissue", help="Scan tissue only, or glass as well.")] = True,
    keep_ink: Annotated[bool, typer.Option("--keep-ink", help="Take pen marks and dark dirt for tissue.")] = False,
    mask: MaskOption = None,
    any_stain: Annotated[bool, typer.Option("--any-stain", help="Scan grey and fluorescent slides as well.")] = False,
    background: BackgroundOption = True,
    hotspot: HotspotOption = "2mm2",
    hotspots: HotspotsOption = 3,
    export: ExportOption = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Search folders below as well.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite/--resume", help="Scan again what is done, or skip what is unchanged.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would cost; write nothing.")] = False,
    verify_tiling: Annotated[
        bool, typer.Option("--verify-tiling", help="Scan some places again with other tiles, and compare.")
    ] = False,
    cluster: Annotated[str | None, typer.Option(help='Address of a Ray cluster, or "local".')] = None,
) -> None:
    """Scan slides: detections, map, overview and report of each in a folder of its own.

    Example: mitoscan scan slides/ -o out/
    """
    if not paths:
        raise typer.BadParameter("name a slide, a folder or a manifest", param_hint="PATH...")
    end_on_sigterm()
    from scanner.batch.manifest import slides_to_scan
    from scanner.batch.worklist import plan_jobs
    from scanner.cli.batch_end import end_absent, find_absent

    found = fail_cleanly(lambda: list(slides_to_scan(paths, recursive=recursive)))
    jobs = fail_cleanly(lambda: plan_jobs(found, out))
    if not jobs:
        raise failure(f"no slides in {', '.join(map(str, paths))}; pass --recursive to search folders below")
    keywords: Any = {
        "device": device, **stride_keywords(stride), "threshold": threshold, "mpp": mpp, "engine": engine,
        "precision": precision, "gpu_form": gpu_form, "tile_size": tile_size, "workers": workers, "tissue": tissue,
        "keep_ink": keep_ink, "any_stain": any_stain, "background": background,
        "verify_places": VERIFIED_PLACES if verify_tiling else 0, "mask": mask,
        "hotspot": hotspot, "hotspots": hotspots, "exports": tuple(sorted(set(export or ()))),
    }  # fmt: skip
    fail_cleanly(lambda: ScanSettings(**keywords))
    if cluster is None and not dry_run and (absent := find_absent(jobs, out)):
        raise typer.Exit(end_absent(jobs, absent, out, keywords))
    loaded = open_model(model)
    with loading():
        from scanner.batch.batch import BatchOrder
        from scanner.batch.images_to_scan import each_image
        from scanner.cli.batch_command import run_batch, show_estimates

    jobs = fail_cleanly(lambda: plan_jobs(each_image(found, image, mask=mask), out))
    order = BatchOrder(loaded, keywords, overwrite)
    raise typer.Exit(show_estimates(jobs, order) if dry_run else run_batch(jobs, order, out, cluster=cluster))


@app.command("grand-challenge")
def challenge_command(
    inputs: Annotated[Path, typer.Option("--input", help="Folder with images/<slug>/<image>.")] = Path("/input"),
    outputs: Annotated[Path, typer.Option("--output", help="Folder for mitotic-figures.json.")] = Path("/output"),
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Model; if left out, /opt/ml/model, or the default.")
    ] = None,
    threshold: ThresholdOption = None,
    mpp: MppOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Scan one image by Grand-Challenge's contract: points in millimetres, candidates included."""
    end_on_sigterm()
    image = fail_cleanly(lambda: find_image(inputs))
    loaded = open_model(model or mounted_model() or DEFAULT_MODEL)
    from scanner.cli.grand_challenge import scan_challenge

    path, result = fail_cleanly(
        lambda: scan_challenge(image, outputs, loaded, threshold=threshold, mpp=mpp, device=device)
    )
    say_assumption(str(image), assumed_mpp(result.report))
    typer.echo(os.fsencode(path))


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
        Path | None, typer.Option("--out", "-o", help="File for the certificate; beside the model if left out.")
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
    """Say what this machine offers, and what is missing."""
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
