"""Without keys, answers only requests that were meant for this service, and none of other web pages.

A page whose name is made to lead to 127.0.0.1 (DNS rebinding) could otherwise read every slide from the browser of
whoever visits it: its requests bear its own name as `Host`. A page that calls this service from elsewhere bears its
`Origin`. Where keys are on, neither has a key.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.access.key_ring import KeyRing
from service.api.contract.errors import problem_response
from service.problems import make_problem
from service.settings import Settings
from service.settings.rules import LOOPBACK


class OwnHosts:
    """Answers 421 for another host's name, and 403 for another page's origin, while no keys are on."""

    def __init__(self, app: ASGIApp, *, settings: Settings, keys: KeyRing) -> None:
        self._app = app
        self._settings = settings
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application if the request was meant for it."""
        problem = self._problem(Headers(scope=scope)) if scope["type"] == "http" and self._keys.is_open else None
        if problem:
            await problem_response(problem)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _problem(self, headers: Headers) -> dict[str, object] | None:
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or not is_own_host(hosts[0], self._settings):
            detail = (
                f"this service is not reached as {', '.join(hosts)[:255]!r}: use http://127.0.0.1, or, behind a "
                "reverse proxy, list the name in the setting allowed_hosts, or make keys by `mitoscan keys add`"
            )
            return make_problem("host-not-served", detail=detail)
        if any(not is_own_origin(origin, hosts[0], self._settings) for origin in origins):
            detail = (
                f"a web page of {', '.join(origins)[:255]!r} may not call this service: list its origin in the "
                "setting cors_origins"
            )
            return make_problem("origin-refused", detail=detail)
        return None


def is_own_host(host: str, settings: Settings) -> bool:
    """True if a request with this `Host` was meant for this service, at whatever port a tunnel may have.

    An address is no name that somebody else could make lead here; on loopback only its own ones are expected.
    """
    name = _name_in(f"//{host}")
    if name is None:
        return False
    if name in {*LOOPBACK, *settings.allowed_hosts, settings.host.lower()}:
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or not settings.is_loopback


def is_own_origin(origin: str, host: str, settings: Settings) -> bool:
    """True if a page of this origin may call: one of this service, as its `Host` says, or one that is listed."""
    if origin in settings.cors_origins or "*" in settings.cors_origins:
        return True
    is_web = origin.lower().startswith(("http://", "https://"))
    # A proxy may have sent its own `Host`: a page of the public name is the service's all the same.
    return is_web and (origin.partition("//")[2].lower() == host.lower() or _name_in(origin) in settings.allowed_hosts)


def _name_in(url: str) -> str | None:
    """The host's name in a URL; None if it is none."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # Raises for what is no number.
    except ValueError:
        return None
    is_bare = not (parts.path or parts.query or parts.fragment or "@" in parts.netloc)
    return parts.hostname if is_bare else None
