"""Outbound: the client by which the service itself calls others, for webhooks, slides at URLs and so on.

It trusts the public certificate authorities and those of `ca_bundle`, goes by `outbound_proxies`, follows no redirect,
and takes nothing from the environment: only settings decide where it goes.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from service.access.allowlist import is_allowed
from service.settings import Settings

#: Verification failed because nobody who is trusted has signed (openssl/x509_vfy.h): self-signed, or issuer unknown.
_UNKNOWN_ISSUER = frozenset({18, 19, 20, 21})


def open_client(settings: Settings, *, timeout: float) -> httpx.Client:
    """A client; `timeout` in seconds, of each step of a request."""
    return httpx.Client(**_options(settings, timeout, httpx.HTTPTransport))


def open_async_client(settings: Settings, *, timeout: float) -> httpx.AsyncClient:
    """The same for asyncio."""
    return httpx.AsyncClient(**_options(settings, timeout, httpx.AsyncHTTPTransport))


def trusted(settings: Settings) -> ssl.SSLContext:
    """The certificate authorities that are trusted."""
    context = httpx.create_ssl_context(trust_env=False)
    if settings.ca_bundle is not None:
        context.load_verify_locations(settings.ca_bundle)
    return context


def authorization_for(url: str, settings: Settings) -> dict[str, str]:
    """The header that says at this URL who is asking: that of the longest prefix in `outbound_authorization`."""
    known = settings.outbound_authorization
    fitting = [prefix for prefix in known if is_allowed(url, (prefix,))]
    return {"Authorization": known[max(fitting, key=len)]} if fitting else {}


def reason_of(error: Exception) -> str:
    """Why a call has failed, in words that may be shown: what is wrong with a certificate, or the kind of the error."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            way_out = "; the setting ca_bundle names further authorities"
            said = way_out if cause.verify_code in _UNKNOWN_ISSUER else ""
            return f"the server's certificate is not trusted: {cause.verify_message}{said}"
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


def _options(settings: Settings, timeout: float, transport: Callable[..., Any]) -> dict[str, Any]:
    """Of a client whose proxies are reached by this transport."""
    context = trusted(settings)
    mounts = {
        pattern: transport(verify=context, proxy=proxy) if proxy else None
        for pattern, proxy in _proxies(settings, context).items()
    }
    return {"timeout": timeout, "follow_redirects": False, "trust_env": False, "verify": context, "mounts": mounts}


def _proxies(settings: Settings, context: ssl.SSLContext) -> Mapping[str, httpx.Proxy | None]:
    """Pattern of URLs, as httpx has them -> proxy."""
    return {
        "all://" if host == "*" else f"all://{host}": _proxy(url, context) if url else None
        for host, url in settings.outbound_proxies.items()
    }


def _proxy(url: str, context: ssl.SSLContext) -> httpx.Proxy:
    return httpx.Proxy(url, ssl_context=context if url.startswith("https:") else None)
