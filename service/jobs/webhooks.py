"""Webhooks: signed calls to a client's server when a job has ended, only to URLs on the allow list.

Signed by Standard Webhooks (standardwebhooks.com): HMAC-SHA256 over id, time and body. The receiver checks the
signature with the shared secret, and refuses messages that are older than a few minutes.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

import httpx
from standardwebhooks import Webhook

from service.access.allowlist import is_allowed_http
from service.access.outbound import open_client, reason_of
from service.jobs.lifecycle import Job
from service.jobs.store import JobNotFoundError, Store
from service.jobs.summary import summary_from_job
from service.problems import ReportedError
from service.proxies import served_below
from service.settings import Settings

TIMEOUT = 10.0  # seconds
_log = logging.getLogger(__name__)


class WebhookForbiddenError(ReportedError):
    """The webhook is not on the allow list, or webhooks are off."""

    problem_type = "webhook-forbidden"


class WebhookFailedError(Exception):
    """The receiver did not answer 2xx."""


def check_webhook(url: str | None, settings: Settings) -> None:
    """Raise WebhookForbiddenError unless this service may call that address."""
    if url is None:
        return
    if not settings.webhook_secret or not settings.webhook_prefixes:
        raise WebhookForbiddenError("webhooks are off: webhook_secret and webhook_prefixes are not set")
    if not is_allowed_http(url, settings.webhook_prefixes):
        raise WebhookForbiddenError("the webhook is not on this service's allow list (webhook_prefixes)")


def call_webhook(store: Store, settings: Settings, job_id: str) -> None:
    """Call the webhook of a job that has ended; WebhookFailedError unless it answers 2xx."""
    try:
        job = store.get(job_id)
        check_webhook(job.options.webhook, settings)
    except (JobNotFoundError, WebhookForbiddenError) as error:  # Removed, or no longer allowed, in the meantime.
        _log.warning("the webhook of job %s is not called: %s", job_id, error)
        return
    if job.options.webhook is None:
        return
    with served_below(settings.root_path):
        body = webhook_body(job)
    headers = sign(body, settings.webhook_secret or "", message_id=f"job-{job.id}", now=datetime.now(UTC))
    try:
        with open_client(settings, timeout=TIMEOUT) as client:
            answer = client.post(job.options.webhook, content=body, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        _log.warning("the webhook of job %s was not called: %s", job_id, reason_of(error))
        raise WebhookFailedError(reason_of(error)) from error
    if not answer.is_success:
        raise WebhookFailedError(f"the webhook answered {answer.status_code}")


def webhook_body(job: Job) -> str:
    """The body of the call: the job's end, its summary and links."""
    told = summary_from_job(job).model_dump(mode="json")
    return json.dumps({"type": f"job.{job.state.lower()}", "timestamp": told["finished_at"], "data": told})


def sign(body: str, secret: str, *, message_id: str, now: datetime) -> dict[str, str]:
    """The headers that go with a body."""
    return {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, now, body),
    }
