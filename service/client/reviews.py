"""The part of the client that reviews."""

from __future__ import annotations

from typing import Any, TypeVar

import httpx
from pydantic import BaseModel

from service.api.contract.reviews import MarkOut, ReviewOut

_Out = TypeVar("_Out", bound=BaseModel)


class ReviewCalls:
    """Verdicts on what a job has found; `reviewer` says who gives them, by default the key's name."""

    def _ask(self, kind: type[_Out], method: str, path: str, **options: Any) -> _Out:
        raise NotImplementedError

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        raise NotImplementedError

    def review(self, job_id: str) -> ReviewOut:
        """All verdicts on a job's result, and the counts that follow."""
        return self._ask(ReviewOut, "GET", f"/jobs/{job_id}/review")

    def judge(self, job_id: str, mark_id: str, verdict: str, *, note: str = "", reviewer: str | None = None) -> MarkOut:
        """Give a verdict, "accepted", "rejected" or "unsure", on a detection or candidate."""
        body, path = {"verdict": verdict, "note": note}, f"/jobs/{job_id}/review/marks/{mark_id}"
        return self._ask(MarkOut, "PUT", path, json=body, params=_by(reviewer))

    def add_figure(self, job_id: str, x: float, y: float, *, note: str = "", reviewer: str | None = None) -> MarkOut:
        """Add a figure that the model missed, at a level-0 pixel."""
        body, path = {"x": x, "y": y, "note": note}, f"/jobs/{job_id}/review/marks"
        return self._ask(MarkOut, "POST", path, json=body, params=_by(reviewer))

    def take_back(self, job_id: str, mark_id: str, *, reviewer: str | None = None) -> None:
        """Take one's own verdict, or a figure that one has added, back."""
        self._send("DELETE", f"/jobs/{job_id}/review/marks/{mark_id}", params=_by(reviewer))


def _by(reviewer: str | None) -> dict[str, str]:
    return {} if reviewer is None else {"reviewer": reviewer}
