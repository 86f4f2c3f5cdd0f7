"""A model's network for the peers: the same dense graph and the same classifier as ONNX, and its contract as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from benchmarks.dense.onnx_graph import dense_model
from models.normalisation import StainStatistics
from models.pixel_tables import normalisation_table
from models.registry import Model
from scanner.dense import densify
from scanner.dense.network.graph import Layout


@dataclass(frozen=True)
class Exported:
    """Files of a network."""

    dense: Path
    contract: Path


def export_network(model: Model, folder: Path, *, side: int) -> Exported:
    """Write the dense graph at the card's stride for tiles that cover `side` px, and what a loop must know."""
    card = model.card
    graph = densify(model.net, card.patch_size, card.stride).graph
    read = side + card.patch_size - card.stride
    dense, contract = folder / "dense.onnx", folder / "network.json"
    dense.write_bytes(dense_model(graph, Layout.of(graph, card.stride), (1, 3, read, read)))
    stain = StainStatistics(card.normalisation.mean, card.normalisation.std)
    table = normalisation_table(card.normalisation, stain)
    known = {
        "side": side,
        "stride": card.stride,
        "patch_size": card.patch_size,
        "mpp": card.mpp,
        "threshold": card.threshold,
        "bias": card.calibration.bias,
        "radius_px": round(card.radius_um / card.mpp / card.stride),
        "table": table.T.tolist(),
    }
    contract.write_text(json.dumps(known), encoding="utf-8")
    return Exported(dense, contract)
