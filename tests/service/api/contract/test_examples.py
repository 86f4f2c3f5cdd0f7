"""The API's description shows an example of every JSON answer, and each is one that could be given."""

from __future__ import annotations

from pathlib import Path

from models.card import NOTICE
from service.api.app import create_app
from service.api.contract import comparisons, requests, rescans, reviews, schemas, shares, worklists
from service.api.contract.examples import EXAMPLES, WAITING
from service.api.routes import viewer
from service.api.routes.pages import OURS
from service.settings import Settings


def test_every_json_answer_has_an_example(tmp_path: Path) -> None:
    document = create_app(Settings(data=tmp_path)).openapi()
    missing = [
        f"{method.upper()} {path} {status} {media}"
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        for status, response in operation["responses"].items()
        for media, content in response.get("content", {}).items()
        if media.endswith("json") and "/files/" not in path and "example" not in content
    ]
    assert missing == []


#: Where the models of answers are.
ANSWERS = (viewer, schemas, worklists, reviews, rescans, comparisons, shares)


def test_examples_are_what_could_be_answered() -> None:
    for name, example in EXAMPLES.items():
        (model,) = (vars(there)[name] for there in ANSWERS if name in vars(there))
        assert model.model_validate(example).model_dump(mode="json", exclude_unset=True).keys() == example.keys()
    assert schemas.JobOut.model_validate(WAITING).status == "QUEUED"


def test_sources_show_examples() -> None:
    for source in (requests.PathSource, requests.UploadSource, requests.UrlSource):
        assert source.model_validate(source.model_json_schema()["example"])


def test_every_page_and_the_description_have_the_notice_of_research_use(tmp_path: Path) -> None:
    pages = [OURS[name].read_text(encoding="utf-8") for name in ("index.html", "view.html", "docs.html")]
    assert all(NOTICE in text for text in [*pages, create_app(Settings(data=tmp_path)).description])
