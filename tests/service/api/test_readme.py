"""The README's recipes for curl work as they are written."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np

from tests.conftest import ROOT, require_system
from tests.factories.slides import write_pyramid
from tests.service.fields import make_field, png
from tests.service.server_process import Server

RECIPES = re.findall(r"^curl .*$", (ROOT / "README.md").read_text(), re.MULTILINE)


def test_recipes_for_curl_are_answered(server: Server, tmp_path: Path) -> None:
    require_system("curl")
    (tmp_path / "field.png").write_bytes(png(make_field(21)))
    write_pyramid(tmp_path / "slide.svs", np.asarray(make_field(22)), levels=1, mpp=0.25)
    answers = []
    for recipe in RECIPES:
        here = recipe.replace("http://127.0.0.1:8000", str(server.client.base_url).rstrip("/"))
        line = f"{here.partition(' #')[0]} --silent --output answer.json --write-out '%{{http_code}}'"
        done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=True)
        answers.append(done.stdout)
        assert '"detections"' in (tmp_path / "answer.json").read_text()
    assert answers == ["200", "202"]
