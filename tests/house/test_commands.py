"""Commands in the pages run as they are written, on small slides; what cannot run here is listed with the reason."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from service.cli import all_commands
from tests.conftest import ROOT
from tests.factories.images import Part, write_ome
from tests.factories.slides import texture, write_pyramid
from tests.house.pages import HISTORY, PAGES, blocks, command_lines, name_of

#: Pages whose commands run in another test.
ELSEWHERE = {
    "docs/tutorial.md": "tests/service/test_tutorial.py",
    "docs/service/recipes.md": "tests/service/api/test_recipes.py",
    "docs/how-to/own-task.md": "tests/service/api/test_your_own.py",
    "docs/how-to/review-and-teach.md": "tests/service/review/test_teach.py",
}
#: What cannot run in every test run, and why. Names and options of these are checked like those of all others.
NOT_RUN = {
    r"^docker ": "needs a Docker daemon; make image-test builds and uses the image without one",
    r"cuda": "needs a GPU",
    r"^srun |/share/|10\.0\.0\.5": "needs several hosts",
    r"--cluster local": "takes minutes; tests/cluster/test_cluster.py runs it",
    r"^pip install 'mitoscan\[cluster\]'": "needs a package index",
    r"^make ": "sets up an environment of its own, or is what runs this test",
    r"^mitoscan (?:serve|worker) ": "runs until it is stopped; tests/service starts both",
    r"^mitoscan keys ": "changes a service's keys; tests/service/access/test_keys_command.py does",
    r"^mitoscan (?:train|evaluate) .*(?:mitos14|isbi12|recipe-dnn)": "needs data that may not be redistributed",
    r"^mitoscan committee (?:A B C|dnn1)": "needs models of the reader; tests/cli/test_model_commands.py runs it",
    r"^mitoscan import |mymodel": "needs a network of the reader; tests/cli/test_model_commands.py runs it",
    r"^mitoscan bench --stride": "takes a minute; tests/bench measures less of it",
    r"^mitoscan certify mitosis-1": "takes a minute; tests/cli/test_model_commands.py certifies a small model",
}

COMMANDS = [
    (name_of(page), line)
    for page in PAGES
    if page not in HISTORY and name_of(page) not in ELSEWHERE
    for line in command_lines(page)
]


def is_run(line: str) -> bool:
    return not any(re.search(pattern, line) for pattern in NOT_RUN)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that the commands name."""
    folder = tmp_path_factory.mktemp("commands")
    polygon = [[[0, 0], [120, 0], [120, 120], [0, 120], [0, 0]]]
    mask = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": polygon}}
    for name in ("a.geojson", "masks/a.geojson", "masks/b.geojson", "masks/2.geojson"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(mask))
    for name in ("slides/a.svs", "a.svs", "slide.svs", "a/1.svs"):
        (folder / name).parent.mkdir(exist_ok=True)
        write_pyramid(folder / name, texture(150, 140), levels=1)
    for name in ("a.tif", "a/2.tif"):
        write_pyramid(folder / name, texture(300, 280), levels=2, mpp=None, style="generic")
    for name in ("slides/b.png", "archive/2025/c.png", "input/images/slug/field.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(texture(150, 140)).save(folder / name)
    Image.fromarray(texture(150, 140)[..., 0]).save(folder / "section.png")
    write_ome(folder / "slide.scn", [Part(texture(150, 140, seed=seed), mpp=0.25) for seed in range(3)])
    (table,) = blocks(ROOT / "docs" / "how-to" / "scan-many-slides.md", "text")
    (folder / "slides.csv").write_text(table)
    return folder


@pytest.mark.parametrize(("page", "line"), [(page, line) for page, line in COMMANDS if is_run(line)])
def test_the_command_runs(page: str, line: str, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, *arguments = shlex.split(line, comments=True)
    assert program == "mitoscan"
    monkeypatch.chdir(workplace)
    shutil.rmtree("out", ignore_errors=True)
    done = CliRunner(env={"TERM": "dumb"}).invoke(all_commands(), arguments)
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("pattern", NOT_RUN)
def test_the_list_of_what_is_not_run_names_nothing_else(pattern: str) -> None:
    assert any(re.search(pattern, line) for _, line in COMMANDS)


@pytest.mark.parametrize("page", ELSEWHERE)
def test_the_other_tests_read_the_pages(page: str) -> None:
    assert Path(page).name in (ROOT / ELSEWHERE[page]).read_text()
