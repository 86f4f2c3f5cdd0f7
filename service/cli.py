"""The command `mitoscan`: the scanner's commands, and those that run the service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from scanner.cli import app

Data = Annotated[Path | None, typer.Option(help="Folder of the store, the uploads and the results.")]


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; other than loopback needs keys.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = None,
    data: Data = None,
    workers: Annotated[int | None, typer.Option(min=0, help="Worker processes started beside the API.")] = None,
) -> None:
    """Run the HTTP service, by default on 127.0.0.1:8000; research use only."""
    from service.server import serve as start
    from service.settings import Settings

    start(Settings(**_given(host=host, port=port, data=data, workers=workers)))


@app.command()
def worker(
    data: Data = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1 ...")] = None,
    worker_id: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run scans for the service of that data folder: one worker per GPU, on any host that sees store and files."""
    from service.settings import Settings
    from service.worker import run_worker

    run_worker(Settings(**_given(data=data, device=device)), worker_id)


def main() -> None:
    """Run the command line."""
    app()


def _given(**options: Any) -> dict[str, Any]:
    """The options that were given; the others come from the environment."""
    return {name: value for name, value in options.items() if value is not None}


if __name__ == "__main__":
    main()
