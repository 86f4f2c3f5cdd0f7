"""Clients that others' generators make of the API's description compile, and know every answer of every operation."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from service.api.app import create_app
from service.settings import Settings
from tests.conftest import refuse, require_system

NODE_MODULES = Path(__file__).parents[2] / "js" / "node_modules"
PACKAGE = "mitoscan_client"
#: What openapi-python-client leaves out: it knows no media type of their bodies, which are slides and pieces of them.
LEFT_OUT = {"append_to_upload", "put_slide"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(data=tmp_path_factory.mktemp("data"))), "http://127.0.0.1") as running:
        yield running


@pytest.fixture(scope="module")
def described(api: TestClient, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("api") / "openapi.json"
    path.write_text(api.get("/openapi.json").text)
    return path


def test_a_client_in_typescript_compiles(described: Path, tmp_path: Path) -> None:
    node = require_system("node")
    if not (NODE_MODULES / "openapi-typescript").is_dir():
        refuse("needs openapi-typescript: npm ci in tests/service/js")
    generator, compiler = (
        NODE_MODULES / "openapi-typescript" / "bin" / "cli.js",
        NODE_MODULES / "typescript" / "bin" / "tsc",
    )
    subprocess.run([node, generator, described, "--output", tmp_path / "api.ts"], check=True, capture_output=True)
    calls = [
        f'declare const {one["operationId"]}: paths["{path}"]["{method}"]["responses"];'
        for path, item in json.loads(described.read_text())["paths"].items()
        for method, one in item.items()
    ]
    assert len(calls) > 30
    (tmp_path / "uses.ts").write_text("\n".join(['import type { paths } from "./api";', *calls]))
    command = [node, compiler, "--noEmit", "--strict", "--target", "es2022", "--moduleResolution", "bundler"]
    done = subprocess.run(
        [*command, "--module", "esnext", "uses.ts"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def generated(described: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """A client in Python, as openapi-python-client writes it."""
    folder = tmp_path_factory.mktemp("client")
    config = folder / "config.json"
    config.write_text(json.dumps({"post_hooks": [], "package_name_override": PACKAGE}))
    command = [
        Path(sys.executable).with_name("openapi-python-client"),
        "generate",
        "--meta",
        "none",
        "--config",
        config,
    ]
    subprocess.run([*command, "--path", described, "--output-path", folder / PACKAGE], check=True, capture_output=True)
    sys.path.insert(0, str(folder))
    yield importlib.import_module(PACKAGE)
    sys.path.remove(str(folder))


def operations(package: ModuleType) -> dict[str, ModuleType]:
    """The modules of the generated operations, by the name of the operation."""
    found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    modules = [importlib.import_module(one.name) for one in found if ".api." in one.name and not one.ispkg]
    return {module.__name__.rsplit(".", 1)[-1]: module for module in modules}


REGION = {"type": "Polygon", "coordinates": [[[0, 0], [100, 0], [100, 100], [0, 0]]]}
BODIES = {"VerdictIn": {"verdict": "accepted"}, "FigureIn": {"x": 1, "y": 1}, "RescanIn": {"region": REGION}}


def some(parameter: inspect.Parameter) -> Any:
    """A value of a required argument, as its annotation wants it."""
    kind, known = parameter.annotation, BODIES
    if isinstance(kind, type) and hasattr(kind, "from_dict"):
        return kind.from_dict(known.get(kind.__name__, {"file": b"no slide"}))
    return {str: "0" * 32, int: 1, float: 1.0}.get(kind, ["0" * 32])


def test_a_client_in_python_knows_every_answer(generated: ModuleType, api: TestClient) -> None:
    def through(request: httpx.Request) -> httpx.Response:
        answer = api.request(
            request.method, request.url.raw_path.decode(), headers=dict(request.headers), content=request.read()
        )
        return httpx.Response(answer.status_code, headers=dict(answer.headers), content=answer.content)

    client = generated.Client(
        "http://127.0.0.1", raise_on_unexpected_status=True, httpx_args={"transport": httpx.MockTransport(through)}
    )
    names = {one["operationId"] for item in api.get("/openapi.json").json()["paths"].values() for one in item.values()}
    found = operations(generated)
    assert names - found.keys() == LEFT_OUT
    for name, module in found.items():
        parameters = inspect.signature(module.sync_detailed).parameters.values()
        required = [one for one in parameters if one.default is inspect.Parameter.empty and one.name != "client"]
        arguments = {one.name: some(one) for one in required}
        answer = module.sync_detailed(client=client, **arguments)
        assert answer.status_code < 500 or name == "get_readiness", (name, answer)
