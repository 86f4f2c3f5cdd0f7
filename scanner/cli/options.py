"""Options that several commands share, and errors as one line on stderr."""

from __future__ import annotations

import atexit
import gc
import io
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console

from models import Model, ModelError, load_model
from scanner.batch.outcomes import describe_assumption, describe_domain
from scanner.errors import ImageNotFoundError, ScannerError, UnavailableError
from scanner.files.printable import printable
from scanner.files.run_report import domain_warning
from scanner.settings import EXPORTS

_Result = TypeVar("_Result")
_CODE_WARNING = "warning: {name} is TorchScript, code that runs with your rights; it scans patch by patch"

errors = Console(stderr=True, highlight=False)

ModelOption = Annotated[
    str, typer.Option("--model", "-m", help="A shipped model's name, a model folder, an .onnx or .pt2 file.")
]
DataOption = Annotated[Path, typer.Option("--data", help="Folder with the labelled fields.")]
StrideOption = Annotated[
    int | None, typer.Option(help="Distance of two scanned positions, px; by default the model card's.")
]
ScanStrideOption = Annotated[
    str | None,
    typer.Option(
        "--stride",
        help='Distance of two scanned positions, px; by default the model card\'s. "auto": 8, and 2 near candidates.',
    ),
]
ThresholdOption = Annotated[
    float | None, typer.Option(help="Lowest score of a detection; by default the model card's.")
]
MppOption = Annotated[float | None, typer.Option(help="Micrometres per level-0 pixel, overriding the slide's own.")]
ImageOption = Annotated[
    int | None,
    typer.Option(min=0, help="Only that image of each file, by its index in `mitoscan info`; by default all."),
]
DeviceOption = Annotated[str, typer.Option(help='"auto", "cpu", "cuda", "cuda:1", ...')]
EngineOption = Annotated[
    str, typer.Option(help='"dense"; "zones" for networks that pad; "patch", patch by patch, much slower.')
]
PrecisionOption = Annotated[
    str, typer.Option(help='"float32", exact; "bfloat16", faster, off by about 0.01; "tf32", on GPUs.')
]
GpuFormOption = Annotated[
    str,
    typer.Option(
        help='How a dense net runs on a GPU: "dilation", by cuDNN; or "measured": also as fragments, in Triton kernels '
        "and as CUDA graphs, the fastest on this card."
    ),
]
MaskOption = Annotated[
    Path | None, typer.Option(help="GeoJSON or picture that restricts the scan, or a folder with one per slide.")
]
BackgroundOption = Annotated[
    bool, typer.Option("--background/--no-background", help="Calibrate scores by the slide's background level.")
]
HotspotOption = Annotated[str, typer.Option(help='Window: "2mm2", "10hpf" (2.37 mm2), "circle", or an area in mm2.')]
HotspotsOption = Annotated[int, typer.Option(help="Number of hotspots: the best, and the next that do not overlap.")]
ExportOption = Annotated[list[str] | None, typer.Option(help=f"Further files: {', '.join(EXPORTS)}; may be repeated.")]


def fail_cleanly(action: Callable[[], _Result]) -> _Result:
    """Run `action`; a ScannerError becomes one line on stderr and exit code 1, or 2 if something is missing."""
    try:
        return action()
    except (ScannerError, ModelError) as error:
        raise failure(str(error), code=2 if isinstance(error, (UnavailableError, ImageNotFoundError)) else 1) from error


@contextmanager
def loading() -> Iterator[None]:
    """Import libraries with the garbage collector off: what they create lives as long as the process.

    It would be searched for garbage while torch is imported, during the scan, and once more in the end.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def speak_in_any_encoding() -> None:
    """Print characters that the terminal cannot show as escapes, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def end_at_once() -> None:
    """Let the process end without a last garbage collection; no file relies on that to be closed."""
    atexit.register(gc.freeze)


def leave(ending: SystemExit) -> None:
    """End the process with that exit code, once what was registered for its end has run; back if that is not possible.

    Taking torch and all other modules apart, object by object, takes a tenth of a second, and gives nothing back that
    the system does not.
    """
    if not isinstance(ending.code, int | None):
        return  # A message: Python prints it.
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        return  # Nobody reads it any more, or it is closed: Python knows the exit code for that.
    os._exit(ending.code or 0)


def find_folder(path: Path) -> None:
    """End the command if there is no such folder, before what would read it is loaded."""
    if not path.is_dir():
        raise failure(f"{path} is not a folder")


def stride_keywords(stride: str | None) -> dict[str, Any]:
    """What `--stride` of a scan means for `scanner.scan`."""
    if stride == "auto":
        return {"coarse_to_fine": True}
    if stride is None or stride.isdecimal():
        return {"stride": None if stride is None else int(stride)}
    raise typer.BadParameter(f'{stride!r} is neither a whole number nor "auto"', param_hint="--stride")


def open_model(name_or_path: str | Path) -> Model:
    """The model to run; TorchScript, which is code, with a warning."""
    with loading():
        model = fail_cleanly(lambda: load_model(name_or_path, allow_code=True))
    if model.is_code:
        errors.print(_CODE_WARNING.format(name=model.card.name), style="yellow", markup=False, soft_wrap=True)
    return model


def end_on_sigterm() -> None:
    """Let SIGTERM unwind the program as Ctrl-C does, so that temporary files go; exit code 143, as shells say it."""
    signal.signal(signal.SIGTERM, _end)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # The parent process may want it ignored.
        signal.signal(signal.SIGINT, _end)


def _end(number: int, frame: FrameType | None) -> None:
    # Zarr's asyncio loop may be writing a chunk, and would log that the program has ended.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    if number == signal.SIGINT:
        signal.default_int_handler(number, frame)
    sys.exit(128 + number)


def say_assumption(name: str, mpp: float | None, *, option: str = "--mpp") -> None:
    """Warn of a slide, or of fields, whose mpp was assumed; None if it was not."""
    if mpp is not None:
        line = describe_assumption(name, mpp, option=option)
        errors.print(line, style="yellow", markup=False, soft_wrap=True)


def say_domain(name: str, report: Mapping[str, Any]) -> None:
    """Warn of a slide that is unlike those its model was trained on, by the report of its scan."""
    if warning := domain_warning(report):
        errors.print(describe_domain(name, warning), style="yellow", markup=False, soft_wrap=True)


def failure(message: str, *, code: int = 1) -> typer.Exit:
    """Print an error; raise what this returns."""
    errors.print(printable(f"mitoscan: {message}"), style="red", markup=False, soft_wrap=True)
    return typer.Exit(code)
