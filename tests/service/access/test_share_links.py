"""A share link shows one job and changes nothing, by any path and verb that the API describes, new routes included."""

from __future__ import annotations

import time
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from zipfile import ZipFile

import pytest

from service.sharing.links import HOUR, Asked
from tests.service.access.groups import VERBS, Place, begin

#: What a link may ask for that is of no job, and finds nothing of the group in.
OF_NO_JOB = {"/jobs", "/jobs.csv", "/models", "/me"}
#: What needs no key.
FOR_ALL = {"/healthz", "/readyz"}
#: What this job does not have, or not without saying which other job.
OF_MORE = {"/jobs/{job_id}/live-map.png", "/jobs/{job_id}/files/labels.zip", "/jobs/{job_id}/comparison"}
#: Links are shown to who can make them: they have names of people.
NOT_FOR_LINKS = "/jobs/{job_id}/shares"


@dataclass(frozen=True)
class Shared:
    """The token of a link to the group's job, and another job of the same group."""

    token: str
    #: Parts of paths that lead to the other job.
    other: dict[str, str]


@pytest.fixture(scope="module")
def shared(place: Place) -> Shared:
    made = place.ask("POST", "/jobs/{job_id}/shares", "pathology-review")
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    return Shared(token_of(made.json()), begin(place.client, place.service, seed=8))


def token_of(made: dict[str, Any]) -> str:
    return str(made["link"]).partition("#token=")[2]


def described(place: Place, *, of_job: bool) -> list[tuple[str, str]]:
    """Operations on jobs, or the others; HEAD beside GET."""
    found = {(verb, path) for verb, path in place.operations() if ("{job_id}" in path) is of_job}
    return sorted(found | {("HEAD", path) for verb, path in found if verb == "GET"})


def state(place: Place) -> list[Any]:
    service = place.service
    jobs = service.store.list_jobs()
    said = [(service.reviews.marks(job.id), service.links.shares.list_live(job.id, now=0)) for job in jobs]
    return [jobs, said, sorted(service.settings.uploads.rglob("*"))]


def test_another_job_of_the_same_group_does_not_exist(place: Place, shared: Shared) -> None:
    before = state(place)
    for verb, path in described(place, of_job=True):
        told = place.ask(verb, path, shared.token, **shared.other)
        of_nothing = place.ask(verb, path, shared.token, **shared.other | {"job_id": "0" * 32})
        assert (told.status_code, of_nothing.status_code) == (404, 404), (verb, path)
        if verb != "HEAD":
            assert told.json()["type"] == of_nothing.json()["type"], (verb, path)
    zipped = place.client.get("/jobs.zip", params={"id": shared.other["job_id"]}, headers={"X-API-Key": shared.token})
    assert zipped.status_code == 404
    assert state(place) == before


def test_what_is_of_no_job_tells_and_takes_nothing(place: Place, shared: Shared) -> None:
    before = state(place)
    owned = [shared.other[name] for name in ("job_id", "upload", "upload_id", "share_id")]
    for verb, path in described(place, of_job=False):
        if path in FOR_ALL:
            continue
        told = place.ask(verb, path, shared.token, **shared.other)
        if path in OF_NO_JOB:
            assert told.status_code == 200, path
            assert [one for one in owned if one in told.text] == [], path
        else:
            assert told.status_code == (422 if path == "/jobs.zip" else 403), (verb, path)
    listed = place.ask("GET", "/jobs", shared.token).json()
    assert (listed["jobs"], listed["total"]) == ([], 0)
    assert len(place.ask("GET", "/jobs.csv", shared.token).text.splitlines()) == 1
    asked = {"source": {"upload": shared.other["upload"]}}
    assert place.client.post("/detect", json=asked, headers={"X-API-Key": shared.token}).status_code == 403
    assert state(place) == before


def test_its_own_job_is_shown_as_to_who_reads(place: Place, shared: Shared) -> None:
    reading = [path for verb, path in described(place, of_job=True) if verb == "GET"]
    assert len(reading) >= 18
    for path in reading:
        status = place.ask("GET", path, shared.token).status_code
        if path == NOT_FOR_LINKS:
            assert status == 403
        else:
            assert status == place.ask("GET", path, "pathology-read").status_code, path
            assert status == 200 or path in OF_MORE, path
    job = place.parts["job_id"]
    zipped = place.client.get("/jobs.zip", params={"id": job}, headers={"Authorization": f"Bearer {shared.token}"})
    with ZipFile(BytesIO(zipped.raise_for_status().content)) as archive:
        assert {name.partition("/")[0] for name in archive.namelist()} == {"jobs.csv", job}
        assert [line.partition(b",")[0].decode() for line in archive.read("jobs.csv").splitlines()] == ["id", job]


def test_other_scans_of_its_slide_are_not_told(place: Place, shared: Shared) -> None:
    again = place.ask("POST", "/jobs/{job_id}/rescan", "pathology-submit").json()["id"]
    try:
        siblings = "/jobs/{job_id}/siblings"
        told = [place.ask("GET", siblings, key).json()["jobs"] for key in ("pathology-read", shared.token)]
        assert [[one["id"] for one in jobs] for jobs in told] == [[again], []]
        compared = f"/jobs/{place.parts['job_id']}/comparison"
        answer = place.client.get(compared, params={"with": again}, headers={"X-API-Key": shared.token})
        assert answer.status_code == 404
    finally:
        place.ask("DELETE", "/jobs/{job_id}", "pathology-submit", job_id=again)


def test_its_own_job_is_changed_by_none_of_the_verbs(place: Place, shared: Shared) -> None:
    before = state(place)
    writing = [(verb, path) for verb, path in described(place, of_job=True) if verb not in {"GET", "HEAD"}]
    assert len(writing) >= 7
    for verb, path in writing:
        told = place.ask(verb, path, shared.token)
        assert (told.status_code, told.json()["type"]) == (403, "urn:mitoscan:not-allowed"), (verb, path)
        assert "a link shows its job and changes nothing" in told.json()["detail"]
    for path in place.described:
        for verb in VERBS:
            if verb.lower() not in place.described[path] and verb != "HEAD":
                assert place.ask(verb, path, shared.token).status_code in {401, 405}, (verb, path)
    assert state(place) == before


def test_it_says_what_it_may(place: Place, shared: Shared) -> None:
    me = place.ask("GET", "/me", shared.token).json()
    assert me["name"].startswith("share:")
    assert (me["may"], me["job"]) == (["read"], place.parts["job_id"])
    may = place.ask("GET", "/me", "pathology-submit").json()
    assert (may["name"], may["may"]) == ("pathology-submit", ["read", "review", "share", "submit"])


@pytest.mark.parametrize("spoil", ["expired", "revoked", "forged", "cut"])
def test_a_link_that_is_not_valid_is_refused_with_the_reason(place: Place, spoil: str) -> None:
    links, job = place.service.links, place.parts["job_id"]
    made_at = time.time() - (2 * HOUR if spoil == "expired" else 0)
    made = links.make(Asked(job, by="ann", expires_in_h=1), now=made_at)
    token = made.address.partition("#token=")[2]
    if spoil == "revoked":
        assert place.ask("GET", "/jobs/{job_id}", token).status_code == 200
        revoked = place.ask("DELETE", "/jobs/{job_id}/shares/{share_id}", "pathology-review", share_id=made.share.id)
        assert revoked.status_code == 204
    header, payload, signature = token.split(".")
    shown = {"forged": f"{header}.{payload}.{signature[::-1]}", "cut": token[:-9]}.get(spoil, token)
    reason = {"expired": "has expired", "revoked": "has been revoked"}.get(spoil, "is not of this service")
    for path in ("/jobs/{job_id}", "/jobs", "/me", "/jobs/{job_id}/slide_files/{level}/{col}_{row}.jpeg"):
        told = place.ask("GET", path, shown)
        assert (told.status_code, told.json()["type"]) == (401, "urn:mitoscan:link-not-valid"), path
        assert f"the link {reason}" in told.json()["detail"]
        assert "www-authenticate" in told.headers


def test_a_share_is_revoked_by_who_sees_its_job(place: Place) -> None:
    other = begin(place.client, place.service, seed=9)
    share = place.service.links.make(Asked(place.parts["job_id"], by="ann"), now=time.time()).share
    revoke = ("DELETE", "/jobs/{job_id}/shares/{share_id}")
    assert place.ask(*revoke, "dermatology-submit", share_id=share.id).status_code == 404
    assert place.ask(*revoke, "pathology-read", share_id=share.id).status_code == 403
    of_another_job = place.ask(*revoke, "pathology-submit", share_id=share.id, job_id=other["job_id"])
    assert (of_another_job.status_code, of_another_job.json()["type"]) == (404, "urn:mitoscan:share-not-found")
    assert place.ask(*revoke, "root", share_id=share.id).status_code == 204
