"""The table of shares, on SQLite and on Postgres: bounded, and gone with its job."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.jobs.database import make_engine
from service.jobs.migrating import migrate_store
from service.jobs.store import JobNotFoundError, Store
from service.settings import Settings
from service.sharing import shares as module
from service.sharing.shares import Share, ShareNotFoundError, Shares, SharesFullError
from tests.service.jobs.test_store import add, job
from tests.service.own_postgres import run_postgres


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "postgres").mkdir()
    with run_postgres(folder / "postgres", wanted=request.param == "postgres") as environment:
        settings = Settings(data=folder, database_url=environment.get("MITOSCAN_DATABASE_URL"))
        opened = Store(make_engine(settings.store_url))
        migrate_store(opened.engine)
        yield opened
        opened.engine.dispose()


@pytest.fixture
def shares(store: Store) -> Iterator[Shares]:
    for name in ("a", "b"):
        add(store, job(name))
    yield Shares(store.engine)
    for name in ("a", "b"):
        store.delete(name)


def share(name: str, of: str = "a", *, made_at: float = 100.0, expires_at: float = 200.0) -> Share:
    return Share(name, of, "0" * 64, "ann", "for Bob", made_at, expires_at)


def test_a_share_comes_back_as_it_went_until_it_expires(shares: Shares) -> None:
    known = [share("1"), share("2", made_at=101.0, expires_at=150.0)]
    for one in known:
        shares.add(one)
    shares.add(share("3", "b"))
    assert shares.list_live("a", now=149.0) == known
    assert shares.list_live("a", now=150.0) == known[:1]
    assert shares.list_live("a", now=200.0) == []
    assert [shares.find("2"), shares.find("9")] == [known[1], None]
    shares.forget_expired(now=150.0)
    assert [shares.find(name) for name in "12"] == [known[0], None]


def test_a_share_that_was_revoked_is_gone(shares: Shares) -> None:
    shares.add(share("1"))
    with pytest.raises(ShareNotFoundError):
        shares.revoke("b", "1")
    shares.revoke("a", "1")
    assert shares.find("1") is None
    with pytest.raises(ShareNotFoundError, match="revoked already"):
        shares.revoke("a", "1")


def test_shares_go_with_their_job_and_none_comes_after_it(shares: Shares, store: Store) -> None:
    shares.add(share("1"))
    store.delete("a")
    assert shares.find("1") is None
    with pytest.raises(JobNotFoundError):
        shares.add(share("2"))


def test_a_job_has_so_many_links_at_a_time_however_many_are_made_at_once(
    shares: Shares, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_SHARES", 5)
    shares.add(share("old", expires_at=100.0))  # Expired when the others are made.
    shares.add(share("other", "b"))

    def try_one(number: int) -> bool:
        try:
            shares.add(share(f"n{number}"))
        except SharesFullError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(try_one, range(12))) == 5
    shares.revoke("a", shares.list_live("a", now=100.0)[0].id)
    assert [try_one(20), try_one(21)] == [True, False]
