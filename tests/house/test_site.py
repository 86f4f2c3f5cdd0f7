"""The documentation builds as a site: without a warning, without network, and with nothing from elsewhere in it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.generate.repository import PLACES, site_links
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it; a warning, a broken link or a missing anchor fails here."""
    folder = tmp_path_factory.mktemp("site")
    # A proxy that is not there: whoever asks for something in the network fails.
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, **nowhere, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr
    return folder


@pytest.mark.slow
def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        text = page.read_text()
        loaded = re.findall(r"<(?:script|img|iframe)[^>]*\ssrc=\"?([^\"\s>]+)", text)
        loaded += re.findall(r"<link[^>]*rel=\"?(?:stylesheet|preconnect|preload|icon)\"?[^>]*", text)
        assert [address for address in loaded if "//" in address] == [], page
    for style in site.rglob("*.css"):
        assert re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", style.read_text()) == [], style


@pytest.mark.slow
def test_every_page_of_the_repository_is_in_the_site(site: Path) -> None:
    written = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in ROOT.glob("docs/**/*.md")}
    added = {Path(place).with_suffix(".html") for place in PLACES.values() if place.endswith(".md")}
    assert {path for path in written | added if not (site / path).is_file()} == set()


@pytest.mark.slow
def test_drawings_are_plain(site: Path) -> None:
    drawings = list(site.rglob("explanation/*.svg"))
    assert len(drawings) >= 5
    for drawing in drawings:
        text = drawing.read_text()
        assert "<title>" in text
        assert not re.search(r"href=|<image|<style|<script|font-family=\"(?!sans-serif\")", text), drawing


def test_nothing_generated_is_committed() -> None:
    listed = subprocess.run(["git", "ls-files", "docs"], cwd=ROOT, check=True, capture_output=True, text=True)
    written = {"docs/reference/formats.md", "docs/reference/outputs.md", "docs/reference/recipe.md"}
    assert {line for line in listed.stdout.splitlines() if line.startswith("docs/reference/")} <= written


@pytest.mark.parametrize(
    ("link", "source", "place", "found"),
    [
        ("[a](outputs.md#files)", "docs/reference/formats.md", "reference/formats.md", "[a](outputs.md#files)"),
        ("[a](../benchmarks/results/zones.md)", "docs/performance.md", "performance.md", "[a](benchmarks/zones.md)"),
        ("[a](docs/index.md)", "ARCHITECTURE.md", "project/architecture.md", "[a](../index.md)"),
        ("[a](https://example.org/b.md)", "README.md", "project/readme.md", "[a](https://example.org/b.md)"),
        ("[a](#here)", "docs/index.md", "index.md", "[a](#here)"),
    ],
)
def test_links_to_the_repository_lead_into_the_site(link: str, source: str, place: str, found: str) -> None:
    assert site_links(link, source=source, place=place) == found
