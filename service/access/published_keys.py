"""The keys that an identity provider publishes, fetched by the service's own client (extra `oidc`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
from jwt import PyJWKClient
from jwt.exceptions import PyJWKClientConnectionError

from service.access.outbound import reason_of


class PublishedKeys(PyJWKClient):
    """The keys at a URL. PyJWT itself would fetch them without the certificates and proxies of the settings."""

    def __init__(self, url: str, open_client: Callable[[], httpx.Client]) -> None:
        super().__init__(url, cache_jwk_set=False)  # The verifier keeps them.
        self._open_client = open_client

    def fetch_data(self) -> Any:
        """The keys, as JSON; PyJWKClientConnectionError if they cannot be fetched. PyJWKClient calls this."""
        try:
            with self._open_client() as client:
                return client.get(self.uri).raise_for_status().json()
        except (httpx.HTTPError, ValueError) as error:
            raise PyJWKClientConnectionError(reason_of(error)) from error
