"""What mkdocs calls: adds the generated pages, and the files of the repository that pages link to."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:  # `mkdocs` by its script looks for modules elsewhere.
    sys.path.insert(0, str(ROOT))

from docs.generate.cards import card_pages  # noqa: E402
from docs.generate.command_line import command_line_page  # noqa: E402
from docs.generate.http import http_page  # noqa: E402
from docs.generate.python_api import python_page  # noqa: E402
from docs.generate.repository import PLACES, site_links  # noqa: E402
from docs.generate.settings import settings_page  # noqa: E402


def on_files(files: Files, config: Any) -> Files:
    """Add what is not in docs/."""
    pages = {
        "reference/cli.md": command_line_page(),
        "reference/http.md": http_page(),
        "reference/python.md": python_page(),
        "reference/settings.md": settings_page(),
        **card_pages(),
    }
    for place, text in pages.items():
        files.append(File.generated(config, place, content=text))
    for source, place in PLACES.items():
        files.append(File.generated(config, place, content=(ROOT / source).read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point links to files of the repository to where the site has them."""
    place = page.file.src_uri
    sources = {place: source for source, place in PLACES.items()}
    is_written = page.file.generated_by is None
    return site_links(markdown, source=sources.get(place, f"docs/{place}" if is_written else ""), place=place)
