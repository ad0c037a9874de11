"""The last page of connecting in a popup: tells the page that opened it, and closes itself.

Prints what it is given. Its one script is fixed text, allowed by its hash; without script the page
says the same in words, with a link back.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from html import escape

from starlette.responses import HTMLResponse

# The message goes to pages of one origin alone. HubSpot's pages may have cut the tie to the opener;
# a broadcast reaches pages of our own address all the same.
_SCRIPT = (
    "(function(){var d=document.body.dataset,m=JSON.parse(d.said);"
    "try{if(window.opener){window.opener.postMessage(m,d.origin);}}catch(e){}"
    'try{var c=new BroadcastChannel("hubspot-calls");c.postMessage(m);c.close();}catch(e){}'
    "window.close();})();"
)
_STYLE = (
    "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:4rem auto;padding:0 1rem;"
    "color:#222;background:#fff}h1{font-size:1.4rem}a{color:#0b57d0}"
    "@media(prefers-color-scheme:dark){body{color:#eee;background:#1b1b1b}a{color:#9cc2ff}}"
)


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": (
        f"default-src 'none'; script-src 'sha256-{_hash(_SCRIPT)}';"
        f" style-src 'sha256-{_hash(_STYLE)}'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    ),
}


def popup_page(
    *, title: str, sentence: str, said: Mapping[str, str], origin: str, back: str
) -> HTMLResponse:
    """The page that hands `said` to pages of `origin`, with a link to `back`."""
    message = json.dumps({"type": "hubspot-calls", **said})
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">'
        f"<style>{_STYLE}</style></head>"
        f'<body data-said="{escape(message)}" data-origin="{escape(origin)}">'
        f"<h1>{escape(title)}</h1><p>{escape(sentence)}</p>"
        f'<p><a href="{escape(back)}">Back to the page</a></p>'
        f"<script>{_SCRIPT}</script></body></html>\n",
        headers=_HEADERS,
    )
