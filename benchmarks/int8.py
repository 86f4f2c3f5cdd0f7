"""What 8-bit integers would bring: `python -m benchmarks.int8 --data FOLDER [--fields 22] [--write]`.

The dense graph, quantised by ONNX Runtime: weights per channel, activations by the range that they have on tiles of
cases that the fold was trained on. Beside it ONNX Runtime in float32 and our forms in float32 and bfloat16: speed of
one thread on one tile in interleaved rounds, and what is found on fields of cases that the fold has not seen.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from torch import Tensor, nn

from benchmarks.coarse_to_fine import MPP, spread
from benchmarks.dense.onnx_graph import dense_model
from benchmarks.detections import Tally, add, rows
from models import DEFAULT_MODEL, Model, load_model
from models.registry import load_folds
from scanner.dense import densify
from scanner.dense.capabilities import capabilities, describe_machine
from scanner.dense.network.graph import Layout
from scanner.evaluation.folds import unseen_by
from scanner.inference.prepared_slide import PreparedSlide
from scanner.inference.scorer import Scorer
from scanner.labels.fields import LabelledField, read_fields
from scanner.result import ScanResult
from scanner.scanning import prepare_slide, scan_prepared
from scanner.settings import ScanSettings
from scanner.slides import open_slide

RESULTS = Path(__file__).parent / "results" / "int8.md"
#: Side of the tiles that activations are measured on, and how many; side of the tile that is timed.
CALIBRATION_PX, CALIBRATION_TILES, TIMED_PX = 512, 48, 1024
REFERENCE, INT8, BFLOAT16 = "float32", "int8, ONNX Runtime", "bfloat16"


class OnnxNet(nn.Module):
    """The dense graph in ONNX Runtime, in the place of a dense net; images of any size."""

    def __init__(self, model: onnx.ModelProto, stride: int) -> None:
        super().__init__()
        self.stride = stride
        for axis, name in ((2, "rows"), (3, "cols")):
            model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
            if known := model.graph.output[0].type.tensor_type.shape.dim:
                known[axis].dim_param = f"map_{name}"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # Shapes that the quantiser has noted are those of its tiles.
        self.session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def forward(self, image: Tensor) -> Tensor:
        """Logits (N, classes, rows, cols)."""
        return torch.from_numpy(self.session.run(None, {"image": image.contiguous().numpy()})[0])


class _Tiles(CalibrationDataReader):
    def __init__(self, tiles: Iterator[np.ndarray]) -> None:
        self._tiles = tiles

    def get_next(self) -> dict[str, np.ndarray] | None:
        tile = next(self._tiles, None)
        return None if tile is None else {"image": tile}


def dense_graph(model: Model) -> onnx.ModelProto:
    """The dense net of a model at its stride, as ONNX in float32."""
    card = model.card
    graph = densify(model.net, card.patch_size, card.stride).graph
    side = CALIBRATION_PX + card.patch_size - card.stride
    return onnx.load_from_string(dense_model(graph, Layout.of(graph, card.stride), (1, 3, side, side)))


def quantise(model: Model, tiles: Iterator[np.ndarray]) -> onnx.ModelProto:
    """The same graph with weights of 8 bits per channel, and activations by their range on `tiles`."""
    with tempfile.TemporaryDirectory() as folder:
        exact, found = Path(folder) / "float32.onnx", Path(folder) / "int8.onnx"
        onnx.save(dense_graph(model), exact)
        quantize_static(
            exact,
            found,
            _Tiles(tiles),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(found)


def seen_tiles(model: Model, fields: Sequence[LabelledField]) -> Iterator[np.ndarray]:
    """Normalised tiles (1, 3, h, w) of fields that the model was trained on, as a scan normalises them."""
    seen = [one for one in fields if one.case not in model.card.training["held_out"]]
    side = CALIBRATION_PX + model.card.patch_size - model.card.stride
    for one in seen[:: max(1, len(seen) // CALIBRATION_TILES)]:
        prepared = _prepared(one, model)
        pixels = one.read()[:side, :side]
        yield prepared.scorer.normalise(torch.from_numpy(np.array(pixels[None]))).contiguous().numpy()


def _prepared(field: LabelledField, model: Model, scorer: Scorer | None = None) -> PreparedSlide:
    with open_slide(field.path, field.mpp) as slide:
        return prepare_slide(slide, model, ScanSettings(mpp=field.mpp, tissue=False), scorer=scorer)


def scan_with(field: LabelledField, model: Model, net: nn.Module | None, precision: str = "float32") -> ScanResult:
    """A scan of a field, by another network than the model's dense net if one is given."""
    settings = ScanSettings(mpp=field.mpp, tissue=False, precision=precision)
    with open_slide(field.path, field.mpp) as slide:
        prepared = prepare_slide(slide, model, settings)
        if net is not None:
            prepared = replace(prepared, scorer=replace(prepared.scorer, net=net))
        return scan_prepared(prepared)


def time_forms(model: Model, quantised: onnx.ModelProto, rounds: int) -> dict[str, float]:
    """Nanoseconds of processor time per covered pixel, medians of interleaved rounds; bytes in, logits out."""
    card, side = model.card, TIMED_PX + model.card.patch_size - model.card.stride
    pixels = torch.randint(0, 256, (1, side, side, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    forms: dict[str, Callable[[], object]] = {}
    for precision in ("float32", "bfloat16"):
        if precision == "bfloat16" and not capabilities().has_bfloat16_convolutions:
            continue
        net = densify(model.net, card.patch_size, card.stride)
        net = net if precision == "float32" else net.to(torch.bfloat16)
        table = torch.rand(3, 256, dtype=torch.float32).to(getattr(torch, precision))
        forms[f"{precision}, ours ({net.form})"] = lambda net=net, table=table: net.score_bytes(pixels, table)
    image = torch.rand(1, 3, side, side)
    for name, graph in (("float32, ONNX Runtime", dense_graph(model)), (INT8, quantised)):
        session = OnnxNet(graph, card.stride)
        forms[name] = lambda session=session: session(image)
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    with torch.inference_mode():
        for _ in range(rounds + 1):
            for name, form in forms.items():
                started = time.process_time()
                form()
                seconds[name].append(time.process_time() - started)
    return {name: 1e9 * statistics.median(found[1:]) / TIMED_PX**2 for name, found in seconds.items()}


def report(model: Model, fields: int, speeds: dict[str, float], tallies: dict[str, Tally]) -> Iterator[str]:
    """Lines of Markdown."""
    yield f"# 8-bit integers: {model.card.name} {model.card.version} at stride {model.card.stride}"
    yield ""
    yield f"{describe_machine()}; one thread, tiles of {TIMED_PX} px."
    yield ""
    yield "| form | ns per px | against our float32 |"
    yield "|---|---|---|"
    own = next(iter(speeds.values()))
    yield from (f"| {name} | {value:.0f} | {own / value:.2f} |" for name, value in speeds.items())
    yield ""
    yield f"{fields} fields, each by the fold that has seen neither its case nor its scanner:"
    yield ""
    yield from rows(tallies, REFERENCE)


def main() -> None:
    """Quantise the folds, time, scan, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with images/ and labels.csv")
    parser.add_argument("--fields", type=int, default=22, help="so many, evenly spread, those with figures first")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--write", action="store_true", help=f"keep the table in {RESULTS.name}")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model, folds = load_model(DEFAULT_MODEL), load_folds(DEFAULT_MODEL)
    fields = read_fields(options.data, mpp=MPP)
    quantised = {fold.card.sha256: quantise(fold, seen_tiles(fold, fields)) for fold in folds}
    speeds = time_forms(folds[0], quantised[folds[0].card.sha256], options.rounds)
    names = [REFERENCE, INT8, *([BFLOAT16] if capabilities().has_bfloat16_convolutions else [])]
    tallies = {name: Tally() for name in names}
    for chosen in spread(fields, options.fields):
        fold = unseen_by(model, folds, chosen.case)
        found = {REFERENCE: scan_with(chosen, fold, None)}
        found[INT8] = scan_with(chosen, fold, OnnxNet(quantised[fold.card.sha256], fold.card.stride))
        if BFLOAT16 in names:
            found[BFLOAT16] = scan_with(chosen, fold, None, "bfloat16")
        for name, tally in tallies.items():
            add(tally, found[name], found[REFERENCE], chosen.path.stem)
        print(chosen.path.name, {name: tally.same for name, tally in tallies.items()}, flush=True)
    text = "\n".join(report(model, options.fields, speeds, tallies)) + "\n"
    print(text)
    if options.write:
        RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
