"""`mitoscan keys`: who has a key, kept as digests, taken up by a running service with its next request."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service.access.key_ring import FORMER_FILE, load_keys
from service.access.keys import LOCAL, Client, NotAuthenticatedError, hash_key
from service.access.keys_file import NAME, KeysFile, KeysFileError
from service.cli import all_commands
from service.settings import Settings
from service.settings.rules import PREFIX, Role, known_keys, read_key_entry, refuse_unknown_variables
from tests.conftest import ROOT


def run(folder: Path, *arguments: str) -> Result:
    return CliRunner(env={"TERM": "dumb"}).invoke(all_commands(), ["keys", *arguments, "--data", str(folder)])


def add(folder: Path, *arguments: str) -> str:
    done = run(folder, "add", *arguments)
    assert done.exit_code == 0, done.output
    return done.stdout.strip()


def test_a_running_ring_takes_keys_up_and_gives_them_back(tmp_path: Path) -> None:
    ring, _ = load_keys(Settings(data=tmp_path))
    assert ring.identify(None) is LOCAL
    key = add(tmp_path, "ann", "--group", "pathology", "--role", "review")
    assert ring.identify(key) == Client("ann", Role.REVIEW, "pathology")
    with pytest.raises(NotAuthenticatedError):
        ring.identify(None)
    other = add(tmp_path, "lis")
    assert ring.identify(other) == Client("lis", Role.SUBMIT, "lis")
    assert run(tmp_path, "revoke", "ann").exit_code == 0
    with pytest.raises(NotAuthenticatedError):
        ring.identify(key)
    assert run(tmp_path, "revoke", "lis").exit_code == 0
    assert not ring.is_open, "who revokes the last key has not opened the service"
    (tmp_path / NAME).unlink()
    assert not ring.is_open
    assert load_keys(Settings(data=tmp_path))[0].is_open, "without a file, loopback needs no key after a restart"


def test_keys_are_kept_as_digests_and_what_was_done_is_in_the_audit_trail(tmp_path: Path) -> None:
    key = add(tmp_path, "ann", "--group", "pathology")
    assert run(tmp_path, "revoke", "ann").exit_code == 0
    again = add(tmp_path, "ann", "--role", "read")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(key not in path.read_text() and again not in path.read_text() for path in files)
    assert (tmp_path / NAME).stat().st_mode & 0o077 == 0
    lines = (tmp_path / "audit" / "audit.jsonl").read_text().splitlines()
    told = [(one["event"], one["key"], one["group"], one["role"]) for one in map(json.loads, lines)]
    assert told == [
        ("key-added", "ann", "pathology", "submit"),
        ("key-revoked", "ann", "pathology", "submit"),
        ("key-added", "ann", "ann", "read"),
    ]


def test_the_list_has_the_keys_of_the_settings_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MITOSCAN_API_KEYS", json.dumps({"lis": f"submit:pathology:{hash_key('x')}"}))
    add(tmp_path, "ann", "--group", "pathology", "--role", "review")
    rows = [line.split() for line in run(tmp_path, "list").stdout.splitlines()]
    assert rows == [["name", "group", "role"], ["lis", "pathology", "submit"], ["ann", "pathology", "review"]]
    again = run(tmp_path, "add", "lis")
    assert (again.exit_code, "api_keys" in again.stderr) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("add", "ann"), "there is a key 'ann'"),
        (("add", "bob", "--role", "root"), "choose one of metrics, read, review, submit, admin"),
        (("add", "a\nb"), "printable"),
        (("add", ""), "printable"),
        (("add", "x" * 129), "128"),
        (("add", "bob", "--group", " "), "printable"),
        (("add",), "keys add NAME"),
        (("revoke",), "keys revoke NAME"),
        (("revoke", "bob"), "has no key 'bob', but ann"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tmp_path: Path, arguments: tuple[str, ...], word: str) -> None:
    add(tmp_path, "ann")
    before = (tmp_path / NAME).read_bytes()
    done = run(tmp_path, *arguments)
    assert done.exit_code == 1
    assert word in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert (tmp_path / NAME).read_bytes() == before


def test_a_file_that_is_damaged_while_a_service_runs_leaves_its_keys(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key = add(tmp_path, "ann")
    ring, _ = load_keys(Settings(data=tmp_path))
    for damaged in (
        "{",
        "[]",
        '{"keys": [{"name": "ann"}]}',
        '{"keys": [{"name": 1, "group": "", "role": "", "sha256": 2}]}',
    ):
        (tmp_path / NAME).write_text(damaged)
        with caplog.at_level(logging.ERROR):
            assert ring.identify(key).name == "ann"
        assert NAME in caplog.text
        with pytest.raises(KeysFileError, match=NAME):
            load_keys(Settings(data=tmp_path))


def test_the_first_key_of_an_earlier_version_goes_into_the_file(tmp_path: Path) -> None:
    (tmp_path / FORMER_FILE).write_text(f"admin:{hash_key('old')}\n")
    ring, shown = load_keys(Settings(data=tmp_path, host="0.0.0.0"))
    assert shown is None
    assert ring.identify("old") == Client("admin", Role.ADMIN, "admin")
    assert not (tmp_path / FORMER_FILE).exists()
    assert [entry.name for entry in KeysFile(tmp_path).entries().values()] == ["admin"]


def test_a_network_address_without_any_valid_key_stays_closed(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, host="0.0.0.0")
    ring, key = load_keys(settings)
    assert key is not None
    assert run(tmp_path, "revoke", "admin").exit_code == 0
    again, shown = load_keys(settings)
    assert (shown, ring.is_open, again.is_open) == (None, False, False)
    assert load_keys(Settings(data=tmp_path / "new", host="0.0.0.0", without_keys=True))[0].is_open


DIGEST = hash_key("x")


@pytest.mark.parametrize(
    ("text", "group", "role"),
    [
        (DIGEST, "ann", Role.SUBMIT),
        (f"read:{DIGEST.upper()}", "ann", Role.READ),
        (f"Admin:{DIGEST}", "ann", Role.ADMIN),
        (f"review:Pathology: 2nd floor:{DIGEST}", "Pathology: 2nd floor", Role.REVIEW),
    ],
)
def test_the_entry_of_a_key_in_the_settings(text: str, group: str, role: Role) -> None:
    entry = read_key_entry("ann", text)
    assert (entry.name, entry.group, entry.role, entry.sha256) == ("ann", group, role, DIGEST)


@pytest.mark.parametrize(
    ("keys", "word"),
    [
        ({"ann": "read:ab"}, "'ab' in place of 64 hex digits"),
        ({"ann": "read:" + "g" * 64}, "64 hex digits"),
        ({"ann": f"root:{DIGEST}"}, "'root'"),
        ({"": DIGEST}, "name"),
        ({"ann": DIGEST, "bob": f"read:{DIGEST}"}, "the same key"),
    ],
)
def test_keys_that_cannot_be_are_named(keys: dict[str, str], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        known_keys(keys)


def test_a_variable_that_sets_nothing_is_refused_with_the_one_that_was_meant() -> None:
    names = Settings.model_fields
    refuse_unknown_variables(
        {"MITOSCAN_PORT": "1", "MITOSCAN_REQUIRE_ALL": "1", "OTHER": "x", "mitoscan_data": "x"}, names
    )
    wrong = f"{PREFIX}WORKER"
    with pytest.raises(ValueError, match=f"{wrong} is not a setting; did you mean {wrong}S"):
        refuse_unknown_variables({wrong: "1"}, names)


def test_every_variable_that_the_project_names_is_known() -> None:
    folders = ("scanner", "service", "models", "benchmarks", "tests", "docs")
    files = [path for folder in folders for kind in ("py", "md") for path in (ROOT / folder).rglob(f"*.{kind}")]
    files += [
        ROOT / name for name in ("Makefile", "Dockerfile", "compose.yaml", "README.md", ".ci/run", "tests/image/run")
    ]
    files = [path for path in files if "node_modules" not in path.parts]
    found = {name for path in files for name in re.findall(rf"\b{PREFIX}[A-Z][A-Z_]*[A-Z]\b", path.read_text())}
    refuse_unknown_variables(dict.fromkeys(found, ""), Settings.model_fields)
    assert f"{PREFIX}DATA" in found
