"""Where people land who connected HubSpot from another product's page: one sentence.

Says sentences of ours by the address's code, none that it brings; knows nobody's data.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from receiver.pages.notices import why_not_connected
from receiver.plain_page import said

_UNKNOWN_FAILURE = "Go back to where you began, and try again."


def landing_page(request: Request) -> Response | None:
    """What came of connecting, None if the address does not say."""
    outcome = request.query_params.get("hubspot")
    if outcome == "connected":
        return said("HubSpot is connected.", "You can close this window.")
    if outcome == "error":
        why = why_not_connected(request.query_params.get("code", ""))
        return said("HubSpot is not connected.", why or _UNKNOWN_FAILURE)
    return None
