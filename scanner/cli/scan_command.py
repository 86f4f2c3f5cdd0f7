"""`mitoscan scan` and `mitoscan grand-challenge`: slides to result folders, one image to a platform's output."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models import DEFAULT_MODEL
from scanner.batch.outcomes import assumed_mpp
from scanner.cli.challenge_input import find_image, mounted_model
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
    say_domain,
    stride_keywords,
)
from scanner.settings import ScanSettings, SettingsKeywords

if TYPE_CHECKING:
    from scanner.batch.worklist import FoundSlide

#: Places that --verify-tiling scans again.
VERIFIED_PLACES = 16


def scan_command(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results: one sub-folder per slide.")],
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Slides, fields, folders of them, manifests (.csv).", metavar="PATH...")
    ] = None,
    manifest: Annotated[
        Path | None, typer.Option(help="CSV table of slides: path, optionally id, mpp, mask, image.")
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
        int | None, typer.Option(help="Threads that read ahead; by default 2, on a GPU one per processor.")
    ] = None,
    tissue: Annotated[bool, typer.Option("--tissue/--no-tissue", help="Scan tissue only, or glass as well.")] = True,
    keep_ink: Annotated[bool, typer.Option("--keep-ink", help="Treat pen marks and dark dirt as tissue.")] = False,
    mask: MaskOption = None,
    any_stain: Annotated[bool, typer.Option("--any-stain", help="Scan grey and fluorescent slides as well.")] = False,
    background: BackgroundOption = True,
    hotspot: HotspotOption = "2mm2",
    hotspots: HotspotsOption = 3,
    export: ExportOption = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Search folders below as well.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite/--resume", help="Scan finished slides again, or skip those that are unchanged.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Estimate area, tiles, memory and time; write nothing.")
    ] = False,
    verify_tiling: Annotated[
        bool, typer.Option("--verify-tiling", help="Scan some places again with shifted tiles, and compare.")
    ] = False,
    cluster: Annotated[str | None, typer.Option(help='Address of a Ray cluster, or "local".')] = None,
) -> None:
    """Scan slides: detections, map, overview and report of each in a folder of its own.

    Example: mitoscan scan slides/ -o out/
    """
    if not paths and manifest is None:
        raise typer.BadParameter("name a slide, a folder or a manifest", param_hint="PATH...")
    end_on_sigterm()
    found = _find_slides(paths or [], recursive=recursive, manifest=manifest)
    keywords: Any = {
        **stride_keywords(stride),
        "device": device,
        "threshold": threshold,
        "mpp": mpp,
        "engine": engine,
        "precision": precision,
        "gpu_form": gpu_form,
        "tile_size": tile_size,
        "workers": workers,
        "tissue": tissue,
        "keep_ink": keep_ink,
        "any_stain": any_stain,
        "background": background,
        "verify_places": VERIFIED_PLACES if verify_tiling else 0,
        "mask": mask,
        "hotspot": hotspot,
        "hotspots": hotspots,
        "exports": tuple(sorted(set(export or ()))),
    }
    run = _Run(model, image, overwrite, dry_run, cluster)
    raise typer.Exit(_scan(found, out, keywords, run=run))


@dataclass(frozen=True)
class _Run:
    """How a batch is run."""

    model: str
    #: Index of the only image of each file that is scanned; None: all.
    image: int | None
    overwrite: bool
    dry_run: bool
    #: Address of a Ray cluster.
    cluster: str | None


def _find_slides(paths: list[Path], *, recursive: bool, manifest: Path | None) -> list[FoundSlide]:
    from scanner.batch.manifest import slides_to_scan

    found = fail_cleanly(lambda: list(slides_to_scan(paths, recursive=recursive, manifest=manifest)))
    if not found:
        raise failure(f"no slides in {', '.join(map(str, paths))}; pass --recursive to search folders below")
    return found


def _scan(found: list[FoundSlide], out: Path, keywords: SettingsKeywords, *, run: _Run) -> int:
    """Scan slides, or estimate what that costs; returns the exit code."""
    from scanner.batch.worklist import plan_jobs
    from scanner.cli.batch_end import end_absent, find_absent

    jobs = fail_cleanly(lambda: plan_jobs(found, out))
    fail_cleanly(lambda: ScanSettings(**keywords))
    if run.cluster is None and not run.dry_run and (absent := find_absent(jobs, out)):
        return end_absent(jobs, absent, out, keywords)
    loaded = open_model(run.model)
    with loading():
        from scanner.batch.batch import BatchOrder
        from scanner.batch.images_to_scan import each_image
        from scanner.cli.batch_command import run_batch, show_estimates

    jobs = fail_cleanly(lambda: plan_jobs(each_image(found, run.image, mask=keywords.get("mask")), out))
    order = BatchOrder(loaded, keywords, run.overwrite)
    return show_estimates(jobs, order) if run.dry_run else run_batch(jobs, order, out, cluster=run.cluster)


def challenge_command(
    inputs: Annotated[Path, typer.Option("--input", help="Folder with images/<slug>/<image>.")] = Path("/input"),
    outputs: Annotated[Path, typer.Option("--output", help="Folder for mitotic-figures.json.")] = Path("/output"),
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Model; by default /opt/ml/model, else the shipped default."),
    ] = None,
    threshold: ThresholdOption = None,
    mpp: MppOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Scan one image as a Grand-Challenge algorithm: points in millimetres, candidates included."""
    end_on_sigterm()
    image = fail_cleanly(lambda: find_image(inputs))
    loaded = open_model(model or mounted_model() or DEFAULT_MODEL)
    from scanner.cli.grand_challenge import scan_challenge

    path, result = fail_cleanly(
        lambda: scan_challenge(image, outputs, loaded, threshold=threshold, mpp=mpp, device=device)
    )
    say_assumption(str(image), assumed_mpp(result.report))
    say_domain(str(image), result.report)
    typer.echo(os.fsencode(path))
