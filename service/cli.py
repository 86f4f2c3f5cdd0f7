"""The command `mitoscan`: the scanner's commands, and those that run the service.

A command imports what it needs when it runs: help and usage errors load neither torch nor the service, and the API
process never loads torch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scanner.cli.app import app as scanner_app
from scanner.cli.options import end_at_once, leave, speak_in_any_encoding

if TYPE_CHECKING:
    from service.settings import Settings

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


class KeysAction(StrEnum):
    """What `mitoscan keys` does."""

    ADD = "add"  # make a key, and show it once
    LIST = "list"  # names, groups and roles
    REVOKE = "revoke"  # from now on nobody has it


Data = Annotated[Path | None, typer.Option(help="Folder of the job database, uploads and results.")]


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; any but loopback requires API keys.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port; 0: any free one.")] = None,
    data: Data = None,
    workers: Annotated[int | None, typer.Option(min=0, help="Number of worker processes to start.")] = None,
    root_path: Annotated[
        str | None, typer.Option(help="Path that a reverse proxy serves the service below, such as /mitoscan.")
    ] = None,
) -> None:
    """Run the HTTP service, by default on 127.0.0.1:8000."""
    from service.supervisor import run_server

    settings = _settings(host=host, port=port, data=data, workers=workers, root_path=root_path)
    _with_store(lambda: run_server(settings))


@app.command()
def worker(
    data: Data = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1 ...")] = None,
    worker_id: Annotated[str | None, typer.Option(hidden=True)] = None,
    number: Annotated[int | None, typer.Option(hidden=True)] = None,
    parent: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run a worker for the service of that data folder: one per GPU, on any host that has its database and files."""
    from scanner.cli.options import fail_cleanly
    from scanner.devices.device import choose_device
    from service.worker.process import own_device, run_worker

    settings = _settings(data=data, device=device)
    if number is not None:
        settings = settings.model_copy(update={"device": own_device(settings.device, number)})
    fail_cleanly(lambda: choose_device(settings.device))  # Otherwise every job would fail.
    _with_store(lambda: run_worker(settings, worker_id, parent=parent))


@app.command()
def labels(
    service: Annotated[str, typer.Option(help="Address of the service, such as http://127.0.0.1:8000.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="New folder for the fields and their labels.")],
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Only jobs with a verdict from this day on (UTC).")
    ] = None,
    key: Annotated[str | None, typer.Option(envvar="MITOSCAN_KEY", help="API key.")] = None,
) -> None:
    """Gather what was reviewed on a service, for `mitoscan train` and `mitoscan evaluate`."""
    import httpx

    from service.client import Client, ServiceError
    from service.client.labels import LabelsError, gather_labels

    day = None if since is None else since.replace(tzinfo=UTC)
    try:
        with Client(service, key) as client:
            found = gather_labels(client, out, since=day)
    except (LabelsError, ServiceError, httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        typer.echo(f"mitoscan: {error}", err=True)
        raise typer.Exit(1) from error
    at = "" if found.mpp is None else f" at {found.mpp:g} um/px"
    typer.echo(f"{out}: {found.fields} fields of {found.jobs} reviewed jobs{at}")


@app.command()
def keys(
    action: Annotated[KeysAction, typer.Argument(help="add, list or revoke.")],
    name: Annotated[str | None, typer.Argument(help="Name of the key: of the person or program that has it.")] = None,
    group: Annotated[
        str | None, typer.Option(help="Whose jobs and uploads the key shares; by default a group of the key's name.")
    ] = None,
    role: Annotated[str, typer.Option(help="read, review, submit, admin or metrics.")] = "submit",
    data: Data = None,
) -> None:
    """Add, list and revoke the API keys of a service; those that run take it up with their next request.

    Example: mitoscan keys add ann --group pathology --role review
    """
    from service.access.keys_command import change_keys
    from service.access.keys_file import KeysFileError

    settings = _settings(data=data)
    try:
        change_keys(settings, action.value, name, group=group, role=role)
    except (KeysFileError, ValueError, OSError) as error:
        typer.echo(f"mitoscan: {error}", err=True)
        raise typer.Exit(1) from error


@cache
def all_commands() -> typer.Typer:
    """The whole command line."""
    scanner_app.add_typer(app)
    return scanner_app


def main() -> None:
    """Run the command line."""
    end_at_once()
    speak_in_any_encoding()
    try:
        all_commands()(prog_name="mitoscan")
    except SystemExit as ending:
        if sys.argv[1:2] not in (["serve"], ["worker"]):  # Those end threads and processes of their own.
            leave(ending)
        raise


def _with_store(run: Callable[[], None]) -> None:
    """Run a process of the service; one line and exit code 1 if its database or data folder cannot be opened."""
    from service.access.keys_file import KeysFileError
    from service.jobs.database import StoreUnavailableError

    try:
        run()
    except (StoreUnavailableError, KeysFileError, OSError) as error:
        typer.echo(f"mitoscan: {error}", err=True)
        raise typer.Exit(1) from error


def _settings(**options: Any) -> Settings:
    """Settings from options, environment and TOML file; one line and exit code 2 if they are invalid."""
    from pydantic import ValidationError

    from service.settings import Settings

    try:
        return Settings(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, entry['loc']))}: {entry['msg']}" for entry in error.errors()]
        typer.echo(f"settings: {'; '.join(wrong)}", err=True)
        raise typer.Exit(2) from error
    except (OSError, ValueError) as error:  # The TOML file.
        typer.echo(f"settings: {error}", err=True)
        raise typer.Exit(2) from error


if __name__ == "__main__":
    main()
