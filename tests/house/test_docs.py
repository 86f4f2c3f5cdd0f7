"""The documentation names everything there is, nothing there is not, and its examples run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from models import DEFAULT_MODEL, load_model
from scanner.exports import files
from scanner.files.result_names import REPORT_NAME
from service.api.app import create_app
from service.cli import all_commands
from service.settings import Settings
from tests.conftest import ROOT

COMMANDS = {
    name: command
    for name, command in typer.main.get_command(all_commands()).commands.items()  # type: ignore[attr-defined]
    if not command.hidden
}
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")])


def section(name: str) -> str:
    """What docs/cli.md says of a command."""
    parts = re.split(r"^## mitoscan (\S+)$", (ROOT / "docs" / "cli.md").read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))[name]


def test_the_table_of_certificates_is_the_one_that_was_measured() -> None:
    measured = (ROOT / "benchmarks" / "results" / "certificates.md").read_text()
    assert measured in (ROOT / "docs" / "models.md").read_text()


def test_every_command_has_a_section_and_every_section_a_command() -> None:
    text = (ROOT / "docs" / "cli.md").read_text()
    assert sorted(re.findall(r"^## mitoscan (\S+)$", text, re.MULTILINE)) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_documented_and_every_documented_option_is_there(name: str) -> None:
    real = {
        option
        for parameter in COMMANDS[name].params
        if parameter.param_type_name == "option" and not parameter.hidden
        for option in [*parameter.opts, *parameter.secondary_opts]
    }
    said = set(re.findall(r"`(--?[a-z-]+)`", section(name)))
    if name == "scan":
        assert said == real
    else:
        assert said >= real - {"-m"}
        assert said <= real


def test_every_file_of_a_scan_is_documented() -> None:
    written = {value for key, value in vars(files).items() if key.endswith("_NAME")} | {REPORT_NAME}
    described = set(re.findall(r"^\| `(\w[\w.-]*)` \|", section("scan"), re.MULTILINE))
    assert described == written


@pytest.fixture(scope="module")
def routes() -> list[tuple[str, str]]:
    """Method and path of every operation."""
    paths = create_app(Settings()).openapi()["paths"]
    return [(method.upper(), path) for path, operations in paths.items() for method in operations]


def test_every_endpoint_is_documented(routes: list[tuple[str, str]]) -> None:
    lines = (ROOT / "docs" / "service.md").read_text().splitlines()
    for method, path in routes:
        assert any(method in line and path in line for line in lines), f"{method} {path}"


def test_recipes_for_curl_name_endpoints_that_are_there(routes: list[tuple[str, str]]) -> None:
    templates = [re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)) for _, path in routes]
    for page in PAGES:
        for path in re.findall(
            r"^[^#\n]*curl .*?http://127\.0\.0\.1:8000(/[^\s'\"?]*)", page.read_text(), re.MULTILINE
        ):
            assert any(re.fullmatch(template, path) for template in [*templates, "/", "/docs"]), f"{page}: {path}"


def test_every_promise_names_a_test_that_is_there() -> None:
    promised = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "guarantees.md").read_text())
    assert promised
    for path, name in promised:
        assert f"def {name}(" in (ROOT / path).read_text(), f"{path}::{name}"


def test_every_setting_of_the_service_is_documented() -> None:
    text = (ROOT / "docs" / "service.md").read_text()
    missing = [name for name in Settings.model_fields if f"`{name}`" not in text]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_in_examples_exist(page: Path) -> None:
    for block in re.findall(r"^```(?:sh|console)?\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        for name in re.findall(r"^(?:\$ )?mitoscan ([a-z]\S*)", block, re.MULTILINE):
            assert name in COMMANDS
        for target in re.findall(r"^make ([a-z-]+)", block, re.MULTILINE):
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target


def test_python_of_the_readme_runs(tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    for name in ("examples", "models"):
        (tmp_path / name).symlink_to(ROOT / name)
    script = "\n".join(blocks)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_readme_says_that_this_is_for_research() -> None:
    assert "Research use only" in (ROOT / "README.md").read_text()
    assert (ROOT / "LICENSE").read_text().lstrip().startswith("Apache License")


def test_the_figures_of_the_readme_are_the_cards() -> None:
    measured = load_model(DEFAULT_MODEL).card.measured[0]
    text = (ROOT / "README.md").read_text()
    assert f"F1 {measured.f1:.3f} (precision {measured.precision:.3f}, recall {measured.recall:.3f})" in text


def test_the_figures_of_the_cards_stand_in_the_page_on_the_detector() -> None:
    text = (ROOT / "docs" / "detector.md").read_text()
    for name in ("mitosis-1", "dannet-2013"):
        card = load_model(name).card
        best = card.measured[0]
        low, high = best.f1_interval
        assert f"{best.f1:.3f}" in text
        assert f"{low:.3f} to {high:.3f}" in text
        for row in card.training.get("ablations", ()):
            low, high = row["f1_interval"]
            cost = f"{row['flops_per_px'] / 1000:.1f}"
            assert re.search(
                rf"^\| {row['variant']} \| {row['f1']:.3f} \| {low:.3f} to {high:.3f} \|.*\| {cost} \|$",
                text,
                re.MULTILINE,
            )


def test_the_speeds_of_the_readme_stand_in_the_page_on_performance() -> None:
    measured = (ROOT / "docs" / "performance.md").read_text()
    rows = re.findall(r"^\|.* ns a pixel.*$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert rows
    for row in rows:
        numbers = re.findall(r"[\d,]*\d{3}\b", row.split("|")[2])
        assert any(all(number in line for number in numbers) for line in measured.splitlines()), row


def test_python_of_the_page_on_models_runs(tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "models.md").read_text(), re.MULTILINE | re.DOTALL)
    script = "\n".join(blocks)
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "[1, 2, 69, 89]" in done.stdout
    assert {path.name for path in (tmp_path / "small").iterdir()} == {"card.toml", "model.pt2"}
