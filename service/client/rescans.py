"""The part of the client that scans regions of slides again, and compares jobs of one slide."""

from __future__ import annotations

import uuid
from typing import Any

from service.api.contract.comparisons import ComparisonOut
from service.api.contract.rescans import SiblingsOut
from service.api.contract.schemas import JobOut
from service.client.reviews import ReviewCalls
from service.jobs.summary import JobSummary


class RescanCalls(ReviewCalls):
    """Regions of the slide of a job, and the other jobs of that slide."""

    def rescan(
        self,
        job_id: str,
        region: dict[str, Any],
        *,
        model: str | None = None,
        threshold: float | None = None,
        stride: int | None = None,
    ) -> JobOut:
        """Submit a scan of a region of a job's slide; returns the new job.

        Parameters
        ----------
        job_id : str
        region : dict
            A polygon of GeoJSON, or a feature with one, in level-0 pixels from the slide's top left corner.
        model : str, optional
            By default that of the job.
        threshold, stride : optional
            By default those of the job; with another model, that model's.

        Raises
        ------
        ServiceError
            The region is none of the slide, or the slide is gone; says why.
        """
        choices = {"model": model, "threshold": threshold, "stride": stride}
        body = {"region": region} | {name: value for name, value in choices.items() if value is not None}
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        return self._ask(JobOut, "POST", f"/jobs/{job_id}/rescan", json=body, headers=headers)

    def compare(
        self, job_id: str, other_id: str, *, threshold: float | None = None, other_threshold: float | None = None
    ) -> ComparisonOut:
        """Which detections of two jobs of one slide are the same; thresholds are by default those of their scans."""
        chosen = {"with": other_id, "threshold": threshold, "other_threshold": other_threshold}
        params = {name: value for name, value in chosen.items() if value is not None}
        return self._ask(ComparisonOut, "GET", f"/jobs/{job_id}/comparison", params=params)

    def siblings(self, job_id: str) -> list[JobSummary]:
        """Other jobs of the same slide, newest first."""
        return self._ask(SiblingsOut, "GET", f"/jobs/{job_id}/siblings").jobs
