"""What a page says once after something was done, by the word for it in the page's address.

Sentences are ours alone: nobody can put words on a page by making somebody follow a link.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from receiver.pages.words import to_plural


@dataclass(frozen=True)
class Notice:
    """A sentence; `is_good` says whether what was wanted has happened."""

    text: str
    is_good: bool = True


_NOTICES = {
    "disconnected": Notice(
        "HubSpot is disconnected. Calls that arrive meanwhile wait until you connect again."
    ),
    "disconnected-here": Notice(
        "HubSpot is disconnected here, but did not confirm it on its side. To be sure, remove the"
        " app under Settings, Integrations, Connected apps in HubSpot."
    ),
    "disconnected-key": Notice(
        "HubSpot is disconnected and the service key removed here. The key itself stays valid until"
        " it is deleted in HubSpot."
    ),
    "test-sent": Notice(
        "The webhook took the test call. This page shows what becomes of it, by itself."
    ),
    "webhook-disabled": Notice("The webhook is off. VAPI's reports to it are refused."),
    "webhook-enabled": Notice("The webhook is on again."),
    "webhook-changed": Notice("The webhook is changed."),
    "key-revoked": Notice("The access key no longer opens anything."),
    "retry-queued": Notice("The call is back in line."),
    "retry-in-line": Notice("The call was in line already."),
    "retry-written": Notice("The call is in HubSpot already; there is nothing to retry."),
}
_CONNECTED = Notice("HubSpot is connected. New calls appear on their contacts from now on.")
_NOT_CONNECTED = {
    "oauth_denied": "Access was not granted in HubSpot; nothing has changed.",
    "oauth_refused": "HubSpot did not grant access; nothing has changed. Try Connect again.",
    "oauth_code_missing": "HubSpot sent you back without its answer. Try Connect again.",
    "oauth_code_refused": "HubSpot refused its own answer. Try Connect again.",
    "oauth_state_unknown": "You did not come back from a connection that was begun here.",
    "oauth_state_used": "That answer of HubSpot was used before. The card shows how things stand.",
    "oauth_state_expired": "Connecting took more than ten minutes. Try Connect again.",
    "oauth_other_account": "Somebody else who was signed in here began to connect HubSpot.",
    "oauth_other_browser": "Connecting was begun in another browser, or before you signed in.",
    "oauth_portal_unknown": "HubSpot did not say which account was granted. Try Connect again.",
    "oauth_app_refused": (
        "HubSpot does not know the app of this installation. Whoever runs it must check the"
        " client id and secret."
    ),
    "oauth_not_configured": (
        "Nobody can connect HubSpot here yet. Whoever runs this installation must set the HubSpot"
        " app's client id and secret."
    ),
    "service_key_configured": "The settings name one HubSpot account for everybody.",
    "missing_scope": (
        "HubSpot granted less than is needed; nothing has changed. Connect again and grant all"
        " that is asked for."
    ),
    "other_portal": (
        "That was another HubSpot account than the one this workspace writes to; nothing has"
        " changed."
    ),
    "hubspot_unavailable": "HubSpot did not answer; nothing has changed. Try again in a minute.",
    "store_unavailable": "The connection could not be stored; nothing has changed.",
}
_UNKNOWN_FAILURE = "HubSpot is not connected. Try Connect again."
_MOST = 10_000_000


def notice_of(query: Mapping[str, str]) -> Notice | None:
    """What the address says has just happened; words nobody knows are none."""
    outcome = query.get("hubspot")
    if outcome == "connected":
        return _CONNECTED
    if outcome == "error":
        text = why_not_connected(query.get("code", "")) or _UNKNOWN_FAILURE
        return Notice(text, is_good=False)
    if query.get("notice") == "retried":
        return _retried(query.get("count", ""))
    return _NOTICES.get(query.get("notice", ""))


def why_not_connected(code: str) -> str | None:
    """Why connecting HubSpot failed, None for a code that nobody knows."""
    return _NOT_CONNECTED.get(code)


def _retried(written: str) -> Notice | None:
    if not (written.isascii() and written.isdigit() and int(written) <= _MOST):
        return None
    number = int(written)
    if not number:
        return Notice("No call was waiting to be retried.")
    verb = "is" if number == 1 else "are"
    return Notice(f"{to_plural(number, 'call')} {verb} back in line.")
