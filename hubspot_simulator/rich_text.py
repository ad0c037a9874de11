"""How a portal cleans rich text before it keeps it, and the plain preview it makes.

It knows nothing of records or requests.
"""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

# One "<" in front of everything lets the engine skip text without one.
_NOT_PLAIN = re.compile(
    r"<(?:"
    r"(?!/?[a-zA-Z][a-zA-Z0-9]{0,10} ?/?>)"
    r'(?!a href="https?://[^"<>]*"(?: (?:target|rel|title)="[^"<>]*")*>)'
    r"|/?(?:script|style|iframe|object|embed|noscript|template|html|head|body|meta|link|base|form"
    r"|input|button|textarea)\b)",
    re.IGNORECASE,
)
_ANY_TAG = re.compile(r"<[^>]*>")
_DROPPED_WITH_CONTENT = {"script", "style", "iframe", "object", "embed", "noscript", "template"}
_DROPPED = {"html", "head", "body", "meta", "link", "base", "form", "input", "button", "textarea"}
_VOID = {"br", "hr", "img", "input", "meta", "link", "base", "embed", "col", "wbr"}
_LINKS = {"href", "src", "action", "formaction", "background", "xlink:href"}
_SAFE_LINK = re.compile(r"^(?:https?:|mailto:|tel:|/|#)", re.IGNORECASE)
_PREVIEW_CHARACTERS = 255
_PREVIEW_SOURCE = 800


def sanitised(text: str) -> str:
    """The text as HubSpot keeps it: no comments, scripts, event attributes or script links."""
    if _NOT_PLAIN.search(text) is None:
        return text
    cleaner = _Cleaner()
    cleaner.feed(text)
    cleaner.close()
    return "".join(cleaner.kept)


def preview(text: str) -> str:
    """The first line of plain text that a list shows of a rich text."""
    plain = html.unescape(_ANY_TAG.sub(" ", text[:_PREVIEW_SOURCE]))
    return " ".join(plain.split())[:_PREVIEW_CHARACTERS]


class _Cleaner(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.kept: list[str] = []
        self._dropping: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _DROPPED_WITH_CONTENT:
            if tag not in _VOID:
                self._dropping.append(tag)
            return
        if self._dropping or tag in _DROPPED:
            return
        written = "".join(
            f' {name}="{html.escape(value or "")}"' for name, value in attrs if _kept(name, value)
        )
        self.kept.append(f"<{tag}{written}>")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _DROPPED_WITH_CONTENT:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if self._dropping:
            if tag == self._dropping[-1]:
                self._dropping.pop()
            return
        if tag not in _DROPPED and tag not in _DROPPED_WITH_CONTENT and tag not in _VOID:
            self.kept.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if not self._dropping:
            self.kept.append(data.replace("<", "&lt;").replace(">", "&gt;"))

    def handle_entityref(self, name: str) -> None:
        if not self._dropping:
            self.kept.append(f"&{name};")

    def handle_charref(self, name: str) -> None:
        if not self._dropping:
            self.kept.append(f"&#{name};")


def _kept(name: str, value: str | None) -> bool:
    if name.startswith("on") or name == "srcdoc":
        return False
    return name not in _LINKS or bool(_SAFE_LINK.match((value or "").strip()))
