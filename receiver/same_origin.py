"""Whether one of our own pages sent a request, as far as browsers say.

Knows two headers no script can forge; where neither is sent, no browser of this decade asks.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import Request

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def origin_of(url: str) -> str:
    """The origin of an address as browsers write it, such as `https://calls.example.com`."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    port = "" if parts.port in (None, usual) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def is_ours(request: Request, own_origin: str) -> bool:
    """True if a browser says that a page of ours sent it."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    return request.headers.get("origin") == own_origin


def is_foreign(request: Request, own_origin: str) -> bool:
    """True if a browser says that another site's page sent it."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    return request.headers.get("origin") not in (None, own_origin)
