"""A slide unlike those trained on is said to be so wherever its result is shown; its other files do not change."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from models import Model, save_model
from models.domain import Domain
from scanner.cli.app import app
from scanner.scanning import scan
from scanner.survey.appearance import STATISTICS
from service.worker.job_scan import answer_from_result
from tests.factories.slides import texture
from tests.networks.small_models import random_model

ONES = (1.0,) * len(STATISTICS)
#: Every slide is unlike these.
FAR = Domain(
    names=tuple(STATISTICS),
    mean=(9.0,) * len(STATISTICS),
    std=ONES,
    correlation=tuple(tuple(float(row == col) for col in range(len(STATISTICS))) for row in range(len(STATISTICS))),
    lowest=(5000.0,) * len(STATISTICS),
    highest=(9000.0,) * len(STATISTICS),
    limit=4.0,
)
#: And like these.
NEAR = replace(FAR, limit=1e6)
SAID = "looks unlike the slides that this model was trained on"


def model_of(domain: Domain | None) -> Model:
    model = random_model(stride=4)
    return Model(replace(model.card, domain=domain), model.net)


def write_field(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    Image.fromarray(texture(300, 300)).save(folder / "field.png")
    return folder / "field.png"


def run(folder: Path, domain: Domain | None) -> Result:
    if not (folder / "model").exists():
        save_model(folder / "model", model_of(domain))
    field = write_field(folder / "fields")
    arguments = ["scan", str(field), "-o", str(folder / "out"), "--model", str(folder / "model"), "--mpp", "0.25"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return result


def test_it_is_said_on_stderr_in_run_json_on_both_pages_and_in_batch_json(tmp_path: Path) -> None:
    result = run(tmp_path, FAR)
    out = tmp_path / "out"
    domain = json.loads((out / "field" / "run.json").read_text())["domain"]
    assert domain["is_outside"]
    assert domain["distance"] > domain["limit"] == 4.0
    assert list(domain["values"]) == sorted(STATISTICS)
    assert SAID in domain["warning"]
    (line,) = [line for line in result.stderr.splitlines() if SAID in line]
    assert line.endswith(f"field.png: {domain['warning']}")
    assert domain["warning"] in (out / "field" / "report.html").read_text()
    assert domain["warning"] in (out / "batch.html").read_text()
    (slide,) = json.loads((out / "batch.json").read_text())["slides"]
    assert slide["domain_warning"] == domain["warning"]
    # A slide that was scanned before says it again.
    assert SAID in run(tmp_path, FAR).stderr


@pytest.mark.parametrize("domain", [NEAR, None])
def test_of_a_slide_like_them_or_a_card_without_the_table_nothing_is_said(
    tmp_path: Path, domain: Domain | None
) -> None:
    result = run(tmp_path, domain)
    out = tmp_path / "out"
    assert SAID not in result.stderr
    report = json.loads((out / "field" / "run.json").read_text())
    assert ("domain" in report) == (domain is not None)
    assert SAID not in (out / "field" / "report.html").read_text() + (out / "batch.html").read_text()


def test_the_service_answers_with_the_warning(tmp_path: Path) -> None:
    field = write_field(tmp_path)
    with_warning, without = (scan(field, model_of(domain), mpp=0.25) for domain in (FAR, NEAR))
    (said,) = answer_from_result(with_warning).warnings
    assert said.startswith(f"The slide {SAID}")
    assert answer_from_result(without).warnings == []
    for result in (with_warning, without):
        result.map.close()


def test_no_other_file_depends_on_it(tmp_path: Path) -> None:
    field = write_field(tmp_path)
    for name, domain in (("far", FAR), ("none", None)):
        scan(field, model_of(domain), tmp_path / name, mpp=0.25).map.close()
    names = {path.name for path in (tmp_path / "none").iterdir()} - {"run.json", "report.html"}
    assert "detections.csv" in names
    for name in names:
        assert (tmp_path / "far" / name).read_bytes() == (tmp_path / "none" / name).read_bytes(), name
