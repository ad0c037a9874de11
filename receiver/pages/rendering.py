"""Pages from templates: HTML that loads only what this address serves, by its security policy.

Knows Jinja2 and headers; which page is shown to whom is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from receiver.pages.assets import Assets
from receiver.pages.words import (
    status_mark,
    to_count,
    to_plural,
    words_of_reason,
    words_of_recording,
    words_of_status,
)

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    # Browsers name a form's origin only if its page may name itself.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Vary": "Cookie",
}


class Templates:
    """The templates of the receiver, every value in them escaped unless a template says not to."""

    def __init__(self, assets: Assets) -> None:
        self._environment = Environment(
            loader=PackageLoader("receiver", "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals["asset"] = assets.url_of
        self._environment.filters.update(
            count=to_count,
            plural=to_plural,
            reason_words=words_of_reason,
            recording_words=words_of_recording,
            status_mark=status_mark,
            status_words=words_of_status,
        )

    def names(self) -> list[str]:
        """The names of all templates."""
        return self._environment.list_templates()

    def render(
        self,
        name: str,
        context: Mapping[str, Any],
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> HTMLResponse:
        """The template's page as an answer."""
        text = self._environment.get_template(name).render(context)
        return HTMLResponse(text, status, headers={**HEADERS, **(headers or {})})
