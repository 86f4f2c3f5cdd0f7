"""Files of the repository that pages link to, and where the site has them."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Pages and files beside docs/, by their place in the repository.
PLACES = {
    "README.md": "project/readme.md",
    "ARCHITECTURE.md": "project/architecture.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "CHANGELOG.md": "project/changes.md",
    "LICENSE": "project/LICENSE.txt",
    "examples/README.md": "project/example-slide.md",
    **{
        f"benchmarks/results/{path.name}": f"benchmarks/{path.name}"
        for path in sorted((ROOT / "benchmarks" / "results").iterdir())
    },
    **{
        str(path.relative_to(ROOT)): f"reference/models/{path.parent.name}-recipe.toml"
        for path in sorted((ROOT / "models" / "zoo").glob("*/recipe.toml"))
    },
}
_LINK = re.compile(r"(?<=\]\()([^)#\s]+)((?:#[^)\s]*)?)(?=\))")


def site_links(text: str, *, source: str, place: str) -> str:
    """`text` with its links as the site needs them.

    `source` is where the text's file lies in the repository, or "" if the text is generated; `place` is its place in
    the site. Links that the site has as they are stay.
    """
    if not source:
        return text

    def rewritten(match: re.Match[str]) -> str:
        target, anchor = match.groups()
        if re.match(r"[a-z]+:", target):
            return match[0]
        repository_path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        site_path = PLACES.get(repository_path) or repository_path.removeprefix("docs/")
        return posixpath.relpath(site_path, posixpath.dirname(place) or ".") + anchor

    return _LINK.sub(rewritten, text)
