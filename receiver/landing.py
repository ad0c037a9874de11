"""GET /: where people land after they have connected HubSpot, in one sentence.

Says what the address tells it to, as text; knows nobody's data.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from receiver.plain_page import said

_LONGEST_MESSAGE = 300


def landing_routes() -> list[Route]:
    """The one page; a setting sends people elsewhere."""

    async def landing(request: Request) -> Response:
        outcome = request.query_params.get("hubspot")
        if outcome == "connected":
            return said("HubSpot is connected.", "You can close this window.")
        if outcome == "error":
            message = request.query_params.get("message", "")
            return said("HubSpot is not connected.", message[:_LONGEST_MESSAGE])
        return said(
            "The receiver is running.",
            "VAPI posts its reports here. `hubspot-calls history` shows what became of each call.",
        )

    return [Route("/", landing, methods=["GET"], include_in_schema=False)]
