"""bfloat16 is asked for, never assumed, and stays close."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models import load_model
from scanner.errors import SettingsError
from scanner.probability import prepare_scorer
from scanner.settings import ScanSettings

#: bfloat16 keeps 8 bits of a number; a logit of order 1 to 10 is sure to about this, a probability to a quarter of it.
CLOSE = 0.05


@pytest.mark.parametrize("engine", ["dense", "patch"])
def test_bfloat16_scores_are_close_and_leave_the_model_as_it_is(engine: str) -> None:
    model = load_model("mitosis-1")
    pixels = np.random.default_rng(5).integers(90, 240, (1, 118, 126, 3), dtype=np.uint8)
    exact, fast = (
        prepare_scorer(model, None, stride=8, device="cpu", engine=engine, precision=precision)(pixels)
        for precision in ("float32", "bfloat16")
    )
    assert fast.dtype == np.float32
    np.testing.assert_allclose(fast, exact, rtol=0, atol=CLOSE)
    assert next(model.net.parameters()).dtype == torch.float32


def test_an_unknown_precision_is_refused() -> None:
    assert ScanSettings().precision == "float32"
    with pytest.raises(SettingsError, match="precision = 'int8'"):
        ScanSettings(precision="int8")
