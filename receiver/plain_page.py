"""A page that says one thing and what to do about it, or the contract's error JSON instead.

Prints what it is given; no queries, no rules, no script.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from receiver.answers import error_content

_STYLE = (
    "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:4rem auto;padding:0 1rem;"
    "color:#222;background:#fff}h1{font-size:1.4rem}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_SAFETY = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none'"
    ),
}


def redirect(target: str) -> Response:
    """Sends the browser on, without telling the target where from."""
    return Response(status_code=302, headers={**_SAFETY, "Location": target})


def said(sentence: str, advice: str = "") -> Response:
    """The sentence as a page, with what comes next below it."""
    return HTMLResponse(_page(sentence, advice), headers=_SAFETY)


def refusal(
    request: Request,
    status: int,
    code: str,
    sentence: str,
    *,
    advice: str = "",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The sentence as a page with its advice, or as JSON for those who would rather have that."""
    all_headers = {**_SAFETY, **(headers or {})}
    if prefers_json(request.headers.get("accept", "")):
        return JSONResponse(error_content(code, sentence), status, headers=all_headers)
    return HTMLResponse(_page(sentence, advice), status, headers=all_headers)


def _page(sentence: str, advice: str) -> str:
    title = escape(sentence.rstrip("."))
    below = f"<p>{escape(advice)}</p>" if advice else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>{below}</body></html>\n"
    )


def prefers_json(accept: str) -> bool:
    """True if an Accept header would rather have JSON than a page."""
    return _wanted(accept, "application/json") > _wanted(accept, "text/html")


def _wanted(accept: str, media_type: str) -> tuple[float, int]:
    """How much the type is wanted: the q of the range that fits it best, and how well it fits.

    Of two with the same q, the one that was named is wanted more than the one `*/*` lets in.
    """
    ranges = ("*/*", media_type.partition("/")[0] + "/*", media_type)
    found: dict[str, float] = {}
    for item in accept.lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        weights = [text[2:] for text in parameters if text.startswith("q=")]
        try:
            found[name] = float(weights[0]) if weights else 1.0
        except ValueError:
            found[name] = 0.0
    fits = [fit for fit, name in enumerate(ranges) if found.get(name)]
    return (found[ranges[fits[-1]]], fits[-1]) if fits else (0.0, -1)
