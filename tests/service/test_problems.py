"""Every exception that can reach a client has its problem, and every problem is some exception's."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

from scanner import errors
from service.problems import PROBLEMS, SCANNER_PROBLEMS, ReportedError, make_problem, problem_from_exception

SERVICE = Path(__file__).parents[2] / "service"
SOURCES = [path for path in sorted(SERVICE.rglob("*.py")) if not {"node_modules", "migrations"} & set(path.parts)]
#: Exceptions of `service` that no client ever sees, and why.
UNSEEN = {
    "BadNameError": "becomes UnsupportedSlideError or BadRequestError",
    "ClientGoneError": "has nobody to tell",
    "DuplicateJobError": "leads to the earlier job, or to IdempotencyConflictError",
    "InvalidTokenError": "becomes NotAuthenticatedError",
    "IssuerUnreachableError": "becomes IdentityProviderError",
    "JobFailedError": "carries the problem of the job",
    "ObjectNotFoundError": "becomes SourceNotFoundError",
    "ObjectStoreError": "becomes SourceFetchError",
    "KeysFileError": "ends a command, or a process at its start",
    "LabelsError": "is raised by the client",
    "ReportedError": "is the base of those that are seen",
    "ScanStoppedError": "ends a scan within the worker",
    "ServiceError": "is raised by the client",
    "StoreFailedError": "has a worker try again, and is told in the job",
    "TracingError": "ends a process at its start",
    "WebhookFailedError": "has a worker try again",
}


def exceptions_of_service() -> dict[str, type[Exception]]:
    """Name -> class, of every exception class that `service` defines."""
    found = {}
    for path in SOURCES:
        names = [
            node.name
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.ClassDef) and node.name.endswith("Error")
        ]
        if names:
            module = ".".join(path.relative_to(SERVICE.parent).with_suffix("").parts).removesuffix(".__init__")
            found |= {name: getattr(importlib.import_module(module), name) for name in names}
    return found


def types_made_by_name() -> set[str]:
    """Types of the problems that `service` makes without an exception of its own."""
    return {
        node.args[0].value
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "make_problem"
        if isinstance(node.args[0], ast.Constant)
    }


def test_every_exception_that_a_client_can_see_has_a_problem() -> None:
    untold = {
        name: kind
        for name, kind in exceptions_of_service().items()
        if name not in UNSEEN and not (issubclass(kind, ReportedError) and kind.problem_type in PROBLEMS)
    }
    assert untold == {}


def test_the_exceptions_that_no_client_sees_exist_and_have_no_problem() -> None:
    found = exceptions_of_service()
    assert UNSEEN.keys() <= found.keys()
    assert [name for name in UNSEEN if hasattr(found[name], "problem_type")] == []


def test_every_problem_is_used() -> None:
    of_exceptions = {getattr(kind, "problem_type", None) for kind in exceptions_of_service().values()}
    of_scanner = {problem_type for _, problem_type in SCANNER_PROBLEMS}
    assert PROBLEMS.keys() == (of_exceptions - {None}) | of_scanner | types_made_by_name()


def test_of_scanners_errors_subclasses_stand_before_their_bases() -> None:
    kinds = [kind for kind, _ in SCANNER_PROBLEMS]
    hidden = [
        (kind.__name__, earlier.__name__)
        for number, kind in enumerate(kinds)
        for earlier in kinds[:number]
        if issubclass(kind, earlier)
    ]
    assert hidden == []
    assert kinds[-1] is errors.ScannerError


@pytest.mark.parametrize(
    ("error", "status", "problem_type"),
    [
        (errors.UnsupportedSlideError("x"), 415, "unsupported-slide"),
        (errors.MaskError("x"), 422, "bad-settings"),
        (errors.SlideMemoryError("x"), 422, "scan-failed"),
        (errors.OutputError("x"), 507, "output-failed"),
    ],
)
def test_an_error_of_scanner_is_told_by_its_nearest_kind(error: Exception, status: int, problem_type: str) -> None:
    problem = problem_from_exception(error)
    assert (problem["status"], problem["type"]) == (status, f"urn:mitoscan:{problem_type}")
    assert problem["detail"] == "x"


def test_of_any_other_exception_a_client_learns_nothing() -> None:
    problem = problem_from_exception(KeyError("/secret/path"))
    assert problem == make_problem("internal", detail="The failure has been logged.")
    assert problem["status"] == 500
