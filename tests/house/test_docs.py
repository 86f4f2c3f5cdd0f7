"""The documentation names nothing that is not there, and its figures are those that were measured."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from docs.generate.command_line import commands
from docs.generate.http import openapi
from models import DEFAULT_MODEL, load_model
from scanner.exports import files
from scanner.files.result_names import REPORT_NAME
from tests.conftest import ROOT
from tests.house.pages import HISTORY, PAGES, blocks, command_lines, mitoscan_calls, name_of

COMMANDS = commands()
OPTIONS = {
    name: {option for parameter in command.params for option in [*parameter.opts, *parameter.secondary_opts]}
    for name, command in COMMANDS.items()
}
#: Options in the text that belong to other programs, which the text names.
FOREIGN_OPTIONS = {"--ignore-scripts", "--every"}

current = pytest.mark.parametrize("page", [page for page in PAGES if page not in HISTORY], ids=name_of)
every = pytest.mark.parametrize("page", PAGES, ids=name_of)


@every
def test_links_lead_somewhere(page: Path) -> None:
    # Those to generated pages, and all anchors, are checked when the site is built.
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if not re.match(r"[a-z]+:", target) and not is_generated((page.parent / target).resolve()):
            assert (page.parent / target).exists(), target


def is_generated(path: Path) -> bool:
    places = (
        "cli",
        "http",
        "python",
        "settings",
        "models/mitosis-1",
        "models/mitosis-2",
        "models/dannet-2013",
        "models/membrane-1",
    )
    return path in {ROOT / "docs" / "reference" / f"{place}.md" for place in places}


@current
def test_commands_and_their_options_are_there(page: Path) -> None:
    for name, *arguments in mitoscan_calls(page):
        assert name in COMMANDS, name
        options = {argument.partition("=")[0] for argument in arguments if argument.startswith("-")}
        assert options <= OPTIONS[name] | {"--help"}, f"mitoscan {name} {' '.join(arguments)}"


@current
def test_options_in_the_text_are_those_of_a_command(page: Path) -> None:
    known = {option for options in OPTIONS.values() for option in options} | FOREIGN_OPTIONS
    named = set(re.findall(r"`(--[a-z][a-z-]*)", page.read_text()))
    assert named <= known


@current
def test_targets_and_modules_in_examples_are_there(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    inline = re.findall(r"`(make [a-z-]+|python -m [\w.]+)", page.read_text())
    for line in [*command_lines(page), *inline]:
        if target := re.match(r"make ([a-z-]+)", line):
            assert re.search(rf"^{target[1]}:", makefile, re.MULTILINE), line
        elif module := re.match(r"python3? -m ([\w.]+)", line):
            assert importlib.util.find_spec(module[1]), line


@current
def test_recipes_for_curl_name_endpoints_that_are_there(page: Path) -> None:
    templates = [re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)) for path in openapi()["paths"]]
    for path in re.findall(r"^[^#\n]*curl .*?http://127\.0\.0\.1:8000(/[^\s'\"?]*)", page.read_text(), re.MULTILINE):
        assert any(re.fullmatch(template, path) for template in [*templates, "/", "/docs"]), path


@current
def test_endpoints_in_the_text_are_there(page: Path) -> None:
    paths = {re.sub(r"\{\w+\}", "{}", path): operations for path, operations in openapi()["paths"].items()}
    for method, path in re.findall(r"`(GET|POST|PUT|PATCH|DELETE|HEAD) (/[^\s`?]*)", page.read_text()):
        assert method.lower() in paths[re.sub(r"\{\w+\}", "{}", path)], f"{method} {path}"


@current
def test_files_of_the_code_that_are_named_are_there(page: Path) -> None:
    for path in re.findall(r"`((?:scanner|service|models|tests|benchmarks|docs)/[\w/.-]+)`", page.read_text()):
        assert (ROOT / path).exists(), path


def test_every_file_of_a_scan_is_documented() -> None:
    written = {value for key, value in vars(files).items() if key.endswith("_NAME")} | {REPORT_NAME}
    page = (ROOT / "docs" / "reference" / "outputs.md").read_text()
    assert set(re.findall(r"^\| `(\w[\w.-]*)` \|", page, re.MULTILINE)) == written


def test_pages_say_that_this_is_for_research() -> None:
    for page in (
        "README.md",
        "docs/index.md",
        "docs/tutorial.md",
        "docs/service/recipes.md",
        "docs/reference/outputs.md",
    ):
        assert "Research use only" in (ROOT / page).read_text(), page
    assert (ROOT / "LICENSE").read_text().lstrip().startswith("Apache License")


def test_the_table_of_certificates_is_the_one_that_was_measured() -> None:
    measured = (ROOT / "benchmarks" / "results" / "certificates.md").read_text()
    assert measured in (ROOT / "docs" / "how-to" / "own-network.md").read_text()


def test_the_figures_of_the_readme_are_the_cards() -> None:
    measured = load_model(DEFAULT_MODEL).card.measured[0]
    text = (ROOT / "README.md").read_text()
    assert f"F1 {measured.f1:.3f} (precision {measured.precision:.3f}, recall {measured.recall:.3f})" in text


def test_the_figures_of_the_cards_stand_in_the_page_on_the_detector() -> None:
    text = (ROOT / "docs" / "detector.md").read_text()
    for name in ("mitosis-1", "mitosis-2", "dannet-2013"):
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


def test_the_tutorial_has_commands() -> None:
    assert len(blocks(ROOT / "docs" / "tutorial.md", "sh")) > 5
