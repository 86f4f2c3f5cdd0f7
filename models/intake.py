"""A network file and what must be known to run it -> a model folder."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from models.card import ModelCard, write_card
from models.errors import CardError, ModelDamagedError, ModelNotFoundError
from models.importing.bundle import find_bundle, read_bundle_card
from models.registry import Model, file_sha256, load_model
from models.sources import FOREIGN, FORMAT_OF, FORMATS, WEIGHTS_NAME


def import_model(source: str, card: ModelCard, folder: Path, *, weights: Path | None = None) -> Model:
    """Copy a network into a model folder, with its card, and load it from there.

    Parameters
    ----------
    source : str
        An .onnx, .pt2 or .pt file, or "timm:NAME" or "torchvision:NAME".
    card : ModelCard
        How to run it; its architecture and checksum are filled in.
    folder : path
        Made if it is not there; must hold no model.
    weights : path, optional
        State dict of a network that is given by name: safetensors, or .pth that holds tensors alone.
    """
    if (folder / "card.toml").exists():
        raise CardError(f"{folder} holds a model already; choose another folder")
    library, _, name = source.partition(":")
    folder.mkdir(parents=True, exist_ok=True)
    if library in FOREIGN and name:
        target = folder / WEIGHTS_NAME
        _copy_state(weights, target)
        architecture = library
        arguments = {"name": name, "num_classes": len(card.classes)} | card.arguments
    else:
        path = Path(source)
        known = FORMATS.get(path.suffix.lower())
        if known is None or not path.is_file():
            wanted = f"a file of {', '.join(FORMATS)}, timm:NAME or torchvision:NAME"
            raise ModelNotFoundError(f"{source!r} cannot be imported; pass {wanted}")
        target = folder / known.name
        shutil.copyfile(path, target)
        architecture, arguments = known.architecture, card.arguments
    written = replace(card, architecture=architecture, arguments=arguments, sha256=file_sha256(target))
    write_card(folder, written)
    try:
        return load_model(folder, allow_code=True)
    except Exception:
        # What cannot be loaded is no model: nobody should find its card.
        (folder / "card.toml").unlink()
        target.unlink()
        raise


def import_bundle(bundle: Path, folder: Path) -> Model:
    """A WSInfer bundle as a model folder: its configuration says all that a card must."""
    found = find_bundle(bundle)
    if found is None:
        raise ModelNotFoundError(f"{bundle} is no WSInfer bundle: it holds no config.json beside a TorchScript file")
    config, script = found
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / FORMAT_OF["torchscript"].name
    shutil.copyfile(script, target)
    write_card(folder, replace(read_bundle_card(config), sha256=file_sha256(target)))
    return load_model(folder, allow_code=True)


def _copy_state(weights: Path | None, target: Path) -> None:
    """A state dict as safetensors."""
    import torch
    from safetensors.torch import save_file

    if weights is None or not weights.is_file():
        raise ModelNotFoundError("a network given by name needs --weights: a file with its state dict")
    if weights.suffix == ".safetensors":
        shutil.copyfile(weights, target)
        return
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
        save_file({name: tensor.contiguous() for name, tensor in state.get("state_dict", state).items()}, target)
    except Exception as error:  # torch.load raises whatever unpickling raises.
        raise ModelDamagedError(f"{weights} is no state dict of tensors alone: {str(error).splitlines()[0]}") from error
