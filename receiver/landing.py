"""Where people land who connected HubSpot from another product's page: one sentence.

Says what the address tells it to, as text; knows nobody's data.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from receiver.plain_page import said

_LONGEST_MESSAGE = 300


def landing_page(request: Request) -> Response | None:
    """What came of connecting, None if the address does not say."""
    outcome = request.query_params.get("hubspot")
    if outcome == "connected":
        return said("HubSpot is connected.", "You can close this window.")
    if outcome == "error":
        message = request.query_params.get("message", "")
        return said("HubSpot is not connected.", message[:_LONGEST_MESSAGE])
    return None
