"""One question to HubSpot before a key is stored: whose portal is this?

Knows the HubSpot room; it must not know the store.
"""

from __future__ import annotations

import asyncio

from hubspot_calls.settings import Settings
from target_hubspot_calls.errors import CallSyncError, MissingScope, ReconnectRequired, Rejected


class KeyRefused(CallSyncError):
    """HubSpot does not take this service key."""


class HubSpotUnreached(CallSyncError):
    """HubSpot did not say whose key this is."""


def fetch_portal_id(settings: Settings, service_key: str) -> int:
    """The id of the portal that this key opens.

    Raises KeyRefused, HubSpotUnreached.
    """
    try:
        return asyncio.run(_ask(settings.hubspot_api_url, service_key))
    except (ReconnectRequired, MissingScope, Rejected) as err:
        raise KeyRefused(
            f"HubSpot at {settings.hubspot_api_url} refuses this service key; check that it is"
            " whole and of the right portal (--no-check stores it all the same)"
        ) from err
    except CallSyncError as err:
        raise HubSpotUnreached(
            f"{str(err).rstrip('.')}; try again, or store the key unchecked with --no-check"
        ) from err


async def _ask(api_url: str, service_key: str) -> int:
    from target_hubspot_calls.hubspot.auth import PortalAuth, StaticTokens
    from target_hubspot_calls.hubspot.client import open_client
    from target_hubspot_calls.hubspot.retry import RetryPolicy

    client = open_client(
        api_url,
        PortalAuth(StaticTokens(service_key)),
        # Somebody is watching: a short wait is better than a long silence.
        retry=RetryPolicy(tries=3, total_wait_s=10.0),
    )
    async with client:
        return (await client.fetch_account()).portal_id
