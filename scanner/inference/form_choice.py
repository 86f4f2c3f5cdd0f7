"""The choice of a form on a GPU: once per scan, before its first tile, for its one full tile.

`dilation` takes the default form and tries nothing. `measured` runs a tile in every form: what raises, or whose scores
are not those of the default form, is out for this run, whatever it raises, for a form that is a mere trick must never
cost a scan. The fastest of the rest is chosen, and kept for the next scan, unless a form was out: whether it still is
must be seen then.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from scanner.devices.device_queue import DeviceQueue, Pixels, StageSeconds
from scanner.devices.form_cache import cache_folder, keep_seconds, read_seconds
from scanner.devices.gpu_forms import DEFAULT_FORM, FormChoice, GpuForm, reason_of
from scanner.errors import SettingsError
from scanner.geometry.arrays import FloatMap
from scanner.geometry.tiles import map_side
from scanner.inference.form_comparison import WrongScoresError, as_logits, probe_pixels, refuse_other_scores
from scanner.inference.prepared_slide import PreparedSlide
from scanner.inference.scorer import Scorer

#: Launches that set a form up: the first compiles, the second captures. Their scores are compared.
SET_UP = 2
#: Launches that are timed; the fastest counts.
TIMED = 3
_DRIVER = Path("/proc/driver/nvidia/version")
_log = logging.getLogger(__name__)


def choose_scan_form(prepared: PreparedSlide, *, wanted: str | None = None) -> PreparedSlide:
    """The slide with the form that its scan runs in; as it is where there are none, on a CPU or with another engine.

    Parameters
    ----------
    prepared : PreparedSlide
    wanted : str, optional
        The form of the unfinished scan that is continued: taken if the settings allow it, and nothing is measured.
    """
    scorer = prepared.scorer
    if not has_forms(scorer):
        return prepared
    shape = full_tile_shape(prepared)
    if prepared.settings.gpu_form != "measured":
        choice = FormChoice(DEFAULT_FORM, shape)
    elif wanted in list(GpuForm):
        choice = continue_in_form(scorer, shape, GpuForm(wanted))
    else:
        choice = choose_form(scorer, shape)
    return replace(prepared, scorer=replace(scorer, choice=choice))


def has_forms(scorer: Scorer) -> bool:
    """True for a dense net on a GPU."""
    return scorer.device.type == "cuda" and scorer.is_fixed


def full_tile_shape(prepared: PreparedSlide) -> tuple[int, ...]:
    """(N, h, w, C) of the scan's full tiles, 8-bit pixels."""
    frame, scorer = prepared.frame, prepared.scorer
    side = map_side(prepared.tile_side, frame.stride)
    outputs = min(side, frame.map_height), min(side, frame.map_width)
    height, width = ((length - 1) * frame.stride + scorer.context_px for length in outputs)
    return prepared.settings.batch_size, height, width, scorer.card.normalisation.pixel_channels


def choose_form(scorer: Scorer, tile_shape: tuple[int, ...], *, folder: Path | None = None) -> FormChoice:
    """The fastest form for tiles of that shape, known or measured now.

    Parameters
    ----------
    scorer : Scorer
    tile_shape : tuple
        (N, h, w, C).
    folder : Path, optional
        Where choices are kept; the user's cache if left out.
    """
    folder = folder or cache_folder()
    key = choice_key(scorer, tile_shape)
    trial = _Trial.of(scorer, tile_shape)
    known = read_seconds(folder).get(key) if key else None
    if known is not None:
        best = fastest(known)
        chosen = best if trial.qualifies(best) else DEFAULT_FORM
        return FormChoice(chosen, tile_shape, known, trial.disqualified)
    found = {str(form): trial.seconds_of(form) for form in GpuForm}
    seconds = {form: taken for form, taken in found.items() if taken is not None}
    if key and not trial.is_to_be_tried_again:
        keep_seconds(folder, key, seconds)
    return FormChoice(fastest(seconds), tile_shape, seconds, trial.disqualified)


def fastest(seconds: Mapping[str, float]) -> GpuForm:
    """The form that took least; the default one where none was timed."""
    return GpuForm(min(seconds, key=seconds.__getitem__, default=DEFAULT_FORM))


def continue_in_form(scorer: Scorer, tile_shape: tuple[int, ...], form: GpuForm) -> FormChoice:
    """The form of the scan that is continued; if it does not work any more, with the fallback noted from the start."""
    trial = _Trial.of(scorer, tile_shape)
    if trial.qualifies(form):
        return FormChoice(form, tile_shape)
    return FormChoice(form, tile_shape, fallbacks=[f"{form}: {trial.disqualified[form]}"])


@dataclass(frozen=True)
class _Trial:
    """Forms tried on one tile."""

    scorer: Scorer
    pixels: Pixels
    #: By form, why it is out.
    disqualified: dict[str, str]
    #: Forms that the network cannot have, today or tomorrow.
    absent: set[str]
    #: What the default form says, once it has been asked.
    reference: list[FloatMap]

    @classmethod
    def of(cls, scorer: Scorer, tile_shape: tuple[int, ...]) -> _Trial:
        asked = as_logits(replace(scorer, choice=None))  # No form is chosen yet.
        return cls(asked, probe_pixels(tile_shape), {}, set(), [])

    @property
    def is_to_be_tried_again(self) -> bool:
        """True if a form is out that may work another day: for want of a compiler, of memory, of a header."""
        return set(self.disqualified) != self.absent

    def qualifies(self, form: GpuForm) -> bool:
        """True if the form runs, with the scores of the default one."""
        if form is DEFAULT_FORM:
            return True
        if not self.reference:
            self.seconds_of(DEFAULT_FORM, timed=0)
        return self.seconds_of(form, timed=0) is not None

    def seconds_of(self, form: GpuForm, *, timed: int = TIMED) -> float | None:
        """Seconds of one tile; None if the form is out, whatever the reason."""
        try:
            return self._run(form, timed)
        except Exception as error:
            # Exception, not a list of kinds: without a compiler, its headers, a driver or memory, each says it in its
            # own way.
            self.disqualified[form] = reason_of(error)
            if isinstance(error, SettingsError):
                self.absent.add(form)
            _log.warning("form %s is not used in this run: %s", form, self.disqualified[form])
            return None

    def _run(self, form: GpuForm, timed: int) -> float:
        if form is not DEFAULT_FORM and not self.reference:
            raise WrongScoresError("there is nothing to compare it with: the default form has failed")
        queue = self.scorer.open_form(form, self.pixels.shape, StageSeconds())
        try:
            for _ in range(SET_UP):
                self._compare(queue.launch(list(self.pixels)).result())
            return min((_seconds(queue, self.pixels) for _ in range(timed)), default=0.0)
        finally:
            queue.free_memory()
            queue.close()

    def _compare(self, values: FloatMap) -> None:
        reference = self.reference[0] if self.reference else values
        refuse_other_scores(values, reference, self.scorer.precision, f"form {DEFAULT_FORM}")
        if not self.reference:
            self.reference.append(values.copy())


def _seconds(queue: DeviceQueue, pixels: Pixels) -> float:
    started = time.perf_counter()
    queue.launch(list(pixels)).result()
    return time.perf_counter() - started


def choice_key(scorer: Scorer, tile_shape: tuple[int, ...]) -> str | None:
    """A name for everything that the choice depends on; None if some of it is not known, so that nothing is kept."""
    card = describe_card(scorer.device)
    if card is None:
        return None
    network = [scorer.card.name, scorer.card.sha256, [list(weights.shape) for weights in scorer.net.parameters()]]
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    software = [torch.__version__, torch.version.cuda, cudnn, _version("triton"), _version("mitoscan")]
    content = [*card, software, network, scorer.stride, scorer.precision, list(tile_shape)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:24]


def describe_card(device: torch.device) -> tuple[str, str] | None:
    """Name of the card and version of its driver; None where the driver does not say."""
    try:
        driver = _DRIVER.read_text(encoding="utf-8")
    except OSError:
        return None
    return torch.cuda.get_device_name(device), driver


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
